/*
 * Replaces the parts of the C library that would need WASI, a system interface that a plugin does
 * not need. Output becomes lines of the proxy's log, and a failure is logged before it traps.
 *
 * All symbols are weak: if a plugin uses more of WASI than this, the library's own functions are
 * linked, and the plugin is built for WASI.
 */
#ifdef __wasm__

#include "pointsman_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <wasi/api.h>

#define WEAK __attribute__((weak))

/* For <assert.h>. */
WEAK _Noreturn void __assert_fail(const char *condition, const char *file, int line,
                                  const char *function)
{
    pm_builder builder = {0};
    pm_append_text(&builder, "assertion failed: ");
    pm_append_text(&builder, condition);
    pm_append_text(&builder, "\n  in ");
    pm_append_text(&builder, function);
    pm_append_text(&builder, ", ");
    pm_append_text(&builder, file);
    pm_append_text(&builder, " line ");
    pm_append_integer(&builder, line);
    pm_panic(pm_built(&builder).ptr);
}

WEAK __wasi_errno_t __wasi_fd_write(__wasi_fd_t fd, const __wasi_ciovec_t *parts,
                                    size_t part_count, __wasi_size_t *written)
{
    pm_builder builder = {0};
    for (size_t i = 0; i < part_count; i++)
        pm_append(&builder, pm_octets((const char *)parts[i].buf, parts[i].buf_len));
    *written = builder.len;
    if (builder.len > 0 && builder.ptr[builder.len - 1] == '\n')
        builder.len--;
    if (builder.len > 0)
        pm_log_n(fd == 1 ? PM_INFO : PM_WARN, pm_octets(builder.ptr, builder.len));
    return __WASI_ERRNO_SUCCESS;
}

/* Reports a terminal, so that the C library writes each line as soon as it is complete. */
WEAK __wasi_errno_t __wasi_fd_fdstat_get(__wasi_fd_t fd, __wasi_fdstat_t *stat)
{
    (void)fd;
    memset(stat, 0, sizeof *stat);
    stat->fs_filetype = __WASI_FILETYPE_CHARACTER_DEVICE;
    return __WASI_ERRNO_SUCCESS;
}

WEAK __wasi_errno_t __wasi_fd_seek(__wasi_fd_t fd, __wasi_filedelta_t offset,
                                   __wasi_whence_t whence, __wasi_filesize_t *position)
{
    (void)fd;
    (void)offset;
    (void)whence;
    (void)position;
    return __WASI_ERRNO_SPIPE;
}

WEAK __wasi_errno_t __wasi_fd_close(__wasi_fd_t fd)
{
    (void)fd;
    return __WASI_ERRNO_SUCCESS;
}

WEAK _Noreturn void __wasi_proc_exit(__wasi_exitcode_t code)
{
    (void)code;
    pm_panic("exit() in a plugin");
}

#endif
