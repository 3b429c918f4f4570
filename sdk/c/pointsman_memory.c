/*
 * Memory that is released all at once at the end of a request, not one allocation at a time.
 *
 * In the sandbox, allocation moves a pointer through chunks, from which the proxy's values for the
 * plugin are also allocated. Elsewhere, under test, each allocation is a separate one, so that a
 * sanitizer detects accesses out of bounds and after release.
 */
#include "pointsman_internal.h"

#include <stdlib.h>

/* The functions that the bindings and the proxy call for memory. */
void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);

static void *take(size_t size, size_t align);

#ifdef __wasm__

/* Large enough for the reads of a common request, so that they need no call to malloc. */
#define CHUNK 16384

typedef struct chunk {
    struct chunk *before;
    char *end;
} chunk;

static chunk *last;
static char *at;

/* The position at which the memory of route starts. */
static chunk *base;
static char *base_at;

static void *take_from_new_chunk(size_t size, size_t align)
{
    if (size > SIZE_MAX / 2)
        pm_panic("out of memory");
    size_t room = size + align;
    if (room < CHUNK)
        room = CHUNK;
    chunk *next = malloc(sizeof *next + room);
    if (next == NULL)
        pm_panic("out of memory");
    next->before = last;
    next->end = (char *)(next + 1) + room;
    last = next;
    at = (char *)(next + 1);
    return take(size, align);
}

static void *take(size_t size, size_t align)
{
    uintptr_t start = ((uintptr_t)at + align - 1) & ~(uintptr_t)(align - 1);
    if (last == NULL || start > (uintptr_t)last->end || size > (uintptr_t)last->end - start)
        return take_from_new_chunk(size, align);
    at = (char *)(start + size);
    return (void *)start;
}

void pm_memory_seal(void)
{
    take_from_new_chunk(0, 1);
    base = last;
    base_at = at;
}

void pm_memory_reset(void)
{
    while (last != base) {
        chunk *before = last->before;
        free(last);
        last = before;
    }
    at = base_at;
}

#else

typedef union piece {
    union piece *before;
    max_align_t align;
} piece;

static piece *last;
static piece *base;

static void *take(size_t size, size_t align)
{
    bool sound = align <= _Alignof(piece) && size <= SIZE_MAX / 2;
    piece *next = sound ? malloc(sizeof *next + size) : NULL;
    if (next == NULL)
        pm_panic("out of memory");
    next->before = last;
    last = next;
    return next + 1;
}

void pm_memory_seal(void)
{
    base = last;
}

void pm_memory_reset(void)
{
    while (last != base) {
        piece *before = last->before;
        free(last);
        last = before;
    }
}

void pm_memory_clear(void)
{
    base = NULL;
    pm_memory_reset();
}

#endif

#ifdef __wasm__
__attribute__((__export_name__("cabi_realloc")))
#endif
void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size)
{
    void *taken = take(new_size, align);
    if (old_size != 0)
        memcpy(taken, ptr, old_size < new_size ? old_size : new_size);
    return taken;
}

void *pm_alloc(size_t size)
{
    return take(size, _Alignof(max_align_t));
}

void *pm_alloc_array(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        pm_panic("out of memory");
    void *array = pm_alloc(count * size);
    memset(array, 0, count * size);
    return array;
}
