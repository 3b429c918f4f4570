/*
 * Replaces the parts of the C++ library that would need WASI: it writes exhausted memory and
 * failed library checks to the proxy's log before they trap.
 */
#ifdef __wasm__

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
#include "pointsman_internal.h"
}

static void *take(std::size_t size)
{
    void *taken = std::malloc(size == 0 ? 1 : size);
    if (taken == nullptr)
        pm_panic("out of memory");
    return taken;
}

void *operator new(std::size_t size)
{
    return take(size);
}

void *operator new[](std::size_t size)
{
    return take(size);
}

void operator delete(void *memory) noexcept
{
    std::free(memory);
}

void operator delete[](void *memory) noexcept
{
    std::free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
    std::free(memory);
}

void operator delete[](void *memory, std::size_t) noexcept
{
    std::free(memory);
}

extern "C" __attribute__((weak)) void __cxa_pure_virtual()
{
    pm_panic("a virtual function that has no body was called");
}

#if defined(_LIBCPP_VERSION) && _LIBCPP_VERSION >= 150000

/* Called where the library would throw an exception, such as std::out_of_range. `format` contains
 * no conversion but %s. */
_LIBCPP_BEGIN_NAMESPACE_STD

void __libcpp_verbose_abort(char const *format, ...) noexcept(
    noexcept(__libcpp_verbose_abort("")))
{
    pm_builder builder = {};
    va_list arguments;
    va_start(arguments, format);
    while (const char *conversion = strstr(format, "%s")) {
        pm_append(&builder, pm_octets(format, static_cast<size_t>(conversion - format)));
        pm_append_text(&builder, va_arg(arguments, const char *));
        format = conversion + 2;
    }
    va_end(arguments);
    pm_append_text(&builder, format);
    pm_panic(pm_built(&builder).ptr);
}

_LIBCPP_END_NAMESPACE_STD

#endif

#endif
