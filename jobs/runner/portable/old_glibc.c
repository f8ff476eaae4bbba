/* For a binary that travels: takes the C library's symbols as glibc 2.31 (Debian 11) has them, when the machine that links has
 * a newer one. The linker's --wrap (see ../build.rs) sends each call of NAME to __wrap_NAME here, which goes on to the old
 * version of NAME. It holds no logic of ours. Every glibc keeps the old versions; newer ones differ in where they lie
 * (2.34 moved libpthread and libdl into libc), not in what they do, but for the calls that are written out below.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Jumps without touching a register, so that it serves any signature. */
#define OLD(name, version)                                                     \
  __asm__(".symver old_" #name "," #name "@" version "\n"                      \
          ".text\n.globl __wrap_" #name "\n.type __wrap_" #name ",@function\n" \
          "__wrap_" #name ":\n\tendbr64\n\tjmp *old_" #name "@GOTPCREL(%rip)\n" \
          ".size __wrap_" #name ", .-__wrap_" #name "\n");

#include "old_glibc.h"

/* Before 2.33 these were inline functions over versioned ones. */
int old_xstat(int, const char *, struct stat *);
int old_lxstat(int, const char *, struct stat *);
int old_fxstat(int, int, struct stat *);
int old_fxstatat(int, int, const char *, struct stat *, int);
__asm__(".symver old_xstat,__xstat@GLIBC_2.2.5");
__asm__(".symver old_lxstat,__lxstat@GLIBC_2.2.5");
__asm__(".symver old_fxstat,__fxstat@GLIBC_2.2.5");
__asm__(".symver old_fxstatat,__fxstatat@GLIBC_2.4");
/* On x86-64 there is one layout, with 64-bit sizes; its number is 1. */
enum { LAYOUT = 1 };
int __wrap_stat(const char *path, struct stat *to) { return old_xstat(LAYOUT, path, to); }
int __wrap_lstat(const char *path, struct stat *to) { return old_lxstat(LAYOUT, path, to); }
int __wrap_fstat(int file, struct stat *to) { return old_fxstat(LAYOUT, file, to); }
int __wrap_fstatat(int folder, const char *path, struct stat *to, int flags) { return old_fxstatat(LAYOUT, folder, path, to, flags); }
int __wrap_stat64(const char *path, struct stat *to) { return old_xstat(LAYOUT, path, to); }
int __wrap_lstat64(const char *path, struct stat *to) { return old_lxstat(LAYOUT, path, to); }
int __wrap_fstat64(int file, struct stat *to) { return old_fxstat(LAYOUT, file, to); }
int __wrap_fstatat64(int folder, const char *path, struct stat *to, int flags) { return old_fxstatat(LAYOUT, folder, path, to, flags); }

/* Since 2.32 libstdc++ asks it whether atomic operations can be saved. "No" is always right. */
char __wrap___libc_single_threaded = 0;

/* Since 2.36; libstdc++ takes it for std::random_device. */
uint32_t __wrap_arc4random(void) {
  uint32_t value;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {
    /* Interrupted by a signal: again. The kernel is never without random bytes for long. */
  }
  return value;
}

/* Since 2.34 the C library runs a program's constructors itself; before, the program handed in a function that does. Handed one,
 * the newer ones call it too, and leave the constructors to it. */
typedef void constructor(int, char **, char **);
extern constructor *const __init_array_start[] __attribute__((visibility("hidden")));
extern constructor *const __init_array_end[] __attribute__((visibility("hidden")));
extern void _init(void);
static void construct(int count, char **arguments, char **environment) {
  _init();
  for (constructor *const *each = __init_array_start; each < __init_array_end; each++) (*each)(count, arguments, environment);
}
typedef int begin(int (*)(int, char **, char **), int, char **, constructor *, void (*)(void), void (*)(void), void *);
begin old_libc_start_main;
__asm__(".symver old_libc_start_main,__libc_start_main@GLIBC_2.2.5");
int __wrap___libc_start_main(int (*program)(int, char **, char **), int count, char **arguments, constructor *init, void (*fini)(void), void (*loader)(void),
                             void *stack) {
  (void)init;
  (void)fini;
  return old_libc_start_main(program, count, arguments, construct, NULL, loader, stack);
}
