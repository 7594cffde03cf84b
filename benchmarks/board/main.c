/* Feeds seconds to the exported network and writes what it says: on a host from stdin to stdout, on a board of qemu
   through semihosting from in.bin to out.bin, with the instructions of each second and the bytes of stack at the end. */

#include "rest.h"

#include <stddef.h>

typedef struct {
    uint32_t begins, good, open;
    float microvolts[REST_NODES][REST_RATE];
} second;

typedef struct {
    int32_t verdict;
    uint32_t ticks;
    rest_score score;
} answer;

#ifdef __arm__

#define STK ((volatile uint32_t *)0xE000E010u) /* SysTick: control, reload, value */

extern uint32_t stack_low[], stack_high[];
static int in, out;

static int semihost(int number, const void *argument)
{
    register int r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int file(const char *name, int mode)
{
    size_t length = 0;
    while (name[length]) {
        length++;
    }
    const uintptr_t arguments[3] = {(uintptr_t)name, (uintptr_t)mode, length};
    return semihost(1, arguments);
}

static int transfer(int number, int handle, const void *data, size_t size)
{
    const uintptr_t arguments[3] = {(uintptr_t)handle, (uintptr_t)data, size};
    return semihost(number, arguments) == 0;
}

static int take(void *data, size_t size) { return transfer(6, in, data, size); }
static int give(const void *data, size_t size) { return transfer(5, out, data, size); }
static uint32_t ticks(void) { return STK[2]; }

static void open_files(void)
{
    in = file("in.bin", 1);
    out = file("out.bin", 5);
    STK[1] = 0xFFFFFFu;
    STK[0] = 5u; /* on, by the processor's clock; it counts down */
}

static int close_files(void)
{
    uint32_t *low = stack_low;
    while (*low == 0xA5A5A5A5u) {
        low++;
    }
    const uint32_t used = (uint32_t)((uintptr_t)stack_high - (uintptr_t)low);
    const int fine = give(&used, sizeof used);
    semihost(0x18, (const void *)0x20026); /* ends qemu */
    return fine;
}

#else

#include <stdio.h>

static int take(void *data, size_t size) { return fread(data, size, 1, stdin) == 1; }
static int give(const void *data, size_t size) { return fwrite(data, size, 1, stdout) == 1; }
static uint32_t ticks(void) { return 0; }
static void open_files(void) {}

static int close_files(void)
{
    const uint32_t unknown = 0;
    return give(&unknown, sizeof unknown);
}

#endif

static rest network;
static second now;
static answer said;

int main(void)
{
    open_files();
    rest_init(&network);
    while (take(&now, sizeof now)) {
        if (now.begins) {
            rest_begin(&network);
        }
        const uint32_t before = ticks();
        said.verdict = (int32_t)rest_second(&network, now.microvolts[0], now.good, now.open, &said.score);
        said.ticks = (before - ticks()) & 0xFFFFFFu;
        if (!give(&said, sizeof said)) {
            return 1;
        }
    }
    return !close_files();
}
