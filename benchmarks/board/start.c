/* Start-up of a Cortex-M4F: stack painted, data copied, floating point on. */

#include <stdint.h>

extern uint32_t data_load[], data_low[], data_high[], bss_low[], bss_high[], stack_low[], stack_high[];
int main(void);

__attribute__((noreturn)) void reset(void)
{
    uint32_t *to = data_low, *top;
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n isb\n mov %0, sp" : "=r"(top));
    for (const uint32_t *from = data_load; to < data_high; from++) {
        *to++ = *from;
    }
    for (to = bss_low; to < bss_high; to++) {
        *to = 0;
    }
    for (volatile uint32_t *free = stack_low; free < top; free++) { /* volatile: no call may use the stack here */
        *free = 0xA5A5A5A5u;
    }
    main();
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[3])(void); /* reset, and two kinds of fault */
} vectors = {stack_high, {reset, reset, reset}};
