/* The command that the process tests run, and the caller that they run pushwrap under. In C because it has to see the
 * process exactly as it was given: runtimes of other languages change signals and descriptors before main.
 *
 *   probe given CONDITION... -- COMMAND [ARG]...     sets the conditions up, then executes COMMAND
 *   probe ACTION [ARG]...                            see main
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what) {
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(99);
}

/* The kernel's own structures: libc hides signals 32 and 33. */
struct kernel_action { void *handler; unsigned long flags; void *restorer; unsigned long mask; };

static void dispose(int sig, void *handler) {
    struct kernel_action action = { handler, 0, 0, 0 };
    if (syscall(SYS_rt_sigaction, sig, &action, 0, 8) != 0) fail("rt_sigaction");
}

static void block(int how, unsigned long mask) {
    if (syscall(SYS_rt_sigprocmask, how, &mask, 0, 8) != 0) fail("rt_sigprocmask");
}

/* Lets a system call fail with EPERM from here on, as the profile of a container engine does (seccomp(2)). */
static void refuse(unsigned number) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        fail("seccomp");
}

/* Sets up CONDITION after CONDITION up to `--` and returns what follows it. */
static char **given(char **arg) {
    /* posix_spawn of glibc, by which the tests start this, leaves them ignored. */
    dispose(32, SIG_DFL);
    dispose(33, SIG_DFL);
    for (; *arg && strcmp(*arg, "--"); arg++) {
        char *what = *arg;
        if (!strcmp(what, "ignore")) {
            dispose(atoi(*++arg), SIG_IGN);
        } else if (!strcmp(what, "block")) {
            block(SIG_BLOCK, 1UL << (atoi(*++arg) - 1));
        } else if (!strcmp(what, "close")) {
            close(atoi(*++arg));
        } else if (!strcmp(what, "close-rest")) {
            for (int fd = 3; fd < 1024; fd++) close(fd);
        } else if (!strcmp(what, "open")) {
            int want = atoi(*++arg);
            int fd = open(*++arg, O_RDWR);
            if (fd < 0) fail(*arg);
            if (fd != want) { dup2(fd, want); close(fd); }
        } else if (!strcmp(what, "alarm")) {
            alarm((unsigned)atoi(*++arg));
        } else if (!strcmp(what, "own-pid")) {
            char number[16];
            snprintf(number, sizeof number, "%d", getpid());
            setenv(*++arg, number, 1);
        } else if (!strcmp(what, "setenv")) {
            setenv(arg[1], arg[2], 1);
            arg += 2;
        } else if (!strcmp(what, "odd-environment")) {
            /* order, duplicates, bytes that are not UTF-8, no '=', empty name, empty value */
            static char *odd[] = { "Z=1", "A=2", "DUP=first", "nothing", "BYTES=\xff\xfe\x01", "DUP=second", "=empty", "EMPTY=", 0, 0 };
            char path[4096];
            snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
            odd[8] = strdup(path);
            environ = odd;
        } else if (!strcmp(what, "session")) {
            /* a session of its own with this terminal, as login and terminal programs make it */
            setsid();
            int fd = open(*++arg, O_RDWR);
            if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0) fail(*arg);
            dup2(fd, 0); dup2(fd, 1); dup2(fd, 2);
            if (fd > 2) close(fd);
        } else if (!strcmp(what, "group")) {
            setpgid(0, 0);
        } else if (!strcmp(what, "umask")) {
            umask((mode_t)strtol(*++arg, 0, 8));
        } else if (!strcmp(what, "nice")) {
            if (nice(atoi(*++arg)) == -1 && errno) fail("nice");
        } else if (!strcmp(what, "limit")) {
            int which = atoi(*++arg);
            struct rlimit limit;
            limit.rlim_cur = limit.rlim_max = (rlim_t)atol(*++arg);
            if (setrlimit(which, &limit) != 0) fail("setrlimit");
        } else if (!strcmp(what, "refuse-wait4")) {
            refuse(SYS_wait4);
        } else if (!strcmp(what, "write")) {
            FILE *file = fopen(*++arg, "w");
            if (!file || fputs(*++arg, file) < 0 || fclose(file) != 0) fail(arg[-1]);
        } else if (!strcmp(what, "lost-directory")) {
            char name[] = "/tmp/probe-XXXXXX";
            if (!mkdtemp(name) || chdir(name) || rmdir(name)) fail("lost-directory");
        } else if (!strcmp(what, "parent-of")) {
            /* an older child, as a shell that executes pushwrap may have */
            if (fork() == 0) { execlp("sleep", "sleep", *++arg, (char *)0); _exit(99); }
            arg++;
        } else {
            fprintf(stderr, "probe: no condition '%s'\n", what);
            exit(99);
        }
    }
    return *arg ? arg + 1 : arg;
}

/* Lines of /proc/self/FILE that begin with PREFIX. */
static void lines(const char *name, const char *prefix) {
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/self/%s", name);
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, prefix, strlen(prefix))) fputs(line, stdout);
    fclose(file);
}

static void signals_state(void) {
    const char *fields[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", 0 };
    for (int i = 0; fields[i]; i++) lines("status", fields[i]);
}

/* What else a process inherits. */
static void state(void) {
    char cwd[4096];
    mode_t mask = umask(0);
    printf("umask %o\ncwd %s\nnice %d\n", mask, getcwd(cwd, sizeof cwd) ? cwd : strerror(errno), getpriority(PRIO_PROCESS, 0));
    printf("pgrp %d sid %d\n", getpgrp() != 0, getsid(0));
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit(which, &limit);
        printf("limit %d %lu %lu\n", which, (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    }
    fflush(stdout);
    const char *files[] = { "oom_score_adj", "cgroup", "timerslack_ns", "autogroup", "loginuid", 0 };
    for (int i = 0; files[i]; i++) lines(files[i], "");
    const char *fields[] = { "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed_list", "Mems_allowed_list", "Speculation", 0 };
    for (int i = 0; fields[i]; i++) lines("status", fields[i]);
    printf("dumpable %d subreaper-of-none pdeathsig ", prctl(PR_GET_DUMPABLE));
    int death = -1, reaper = -1;
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    printf("%d subreaper %d scheduler %d\n", death, reaper, sched_getscheduler(0));
}

/* Which descriptors are open and what they are, into a file: any stream may be closed. */
static void descriptors(const char *to) {
    static char text[65536];
    size_t used = 0;
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], target[4096];
        int flags = fcntl(fd, F_GETFD);
        if (flags == -1) continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = 0;
        used += (size_t)snprintf(text + used, sizeof text - used, "%d %s%s\n", fd, target, flags ? " cloexec" : "");
    }
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || write(out, text, used) < 0) exit(99);
}

/* Prints every signal it gets, with origin-independent facts, until RT signal 64 comes or the time is over. */
static void count(int stoppable) {
    sigset_t all;
    sigfillset(&all);
    if (stoppable) sigdelset(&all, SIGTSTP);
    sigprocmask(SIG_BLOCK, &all, 0);
    printf("ready %d\n", getpid());
    fflush(stdout);
    struct timespec patience = { 60, 0 };
    for (;;) {
        siginfo_t info;
        int sig = sigtimedwait(&all, &info, &patience);
        if (sig == 64 || (sig == -1 && errno == EAGAIN)) exit(0);
        if (sig <= 0) continue;
        if (info.si_code == SI_QUEUE) printf("got %d value %d\n", sig, info.si_value.sival_int);
        else printf("got %d\n", sig);
        fflush(stdout);
    }
}

static char *touch(size_t megabytes) {
    char *memory = malloc(megabytes << 20);
    for (size_t at = 0; memory && at < megabytes << 20; at += 4096) memory[at] = 1;
    if (!memory) fail("malloc");
    return memory;
}

static void burn(double seconds) {
    /* Mostly in user mode: asking for the time is a system call. */
    while ((double)clock() / CLOCKS_PER_SEC < seconds)
        for (volatile int i = 0; i < 1000000; i++) {}
}

static volatile sig_atomic_t got;
static void tell(int sig) { got = sig; }

int main(int argc, char **argv) {
    if (argc < 2) return 99;
    char *action = argv[1];
    if (!strcmp(action, "given")) {
        char **command = given(argv + 2);
        execvp(command[0], command);
        fail(command[0]);
    } else if (!strcmp(action, "signals-state")) {
        signals_state();
    } else if (!strcmp(action, "state")) {
        state();
    } else if (!strcmp(action, "descriptors")) {
        descriptors(argv[2]);
    } else if (!strcmp(action, "environment")) {
        for (char **entry = environ; *entry; entry++) fwrite(*entry, strlen(*entry) + 1, 1, stdout);
    } else if (!strcmp(action, "arguments")) {
        for (int i = 0; i < argc; i++) fwrite(argv[i], strlen(argv[i]) + 1, 1, stdout);
    } else if (!strcmp(action, "listen")) {
        const char *names[] = { "LISTEN_PID", "WATCHDOG_PID", 0 };
        for (int i = 0; names[i]; i++) {
            const char *value = getenv(names[i]);
            printf("%s %s\n", names[i], !value ? "unset" : atoi(value) == getpid() ? "mine" : value);
        }
    } else if (!strcmp(action, "count")) {
        count(argc > 2 && !strcmp(argv[2], "stoppable"));
    } else if (!strcmp(action, "queue")) {
        /* queue PID SIGNAL VALUE */
        union sigval value = { .sival_int = atoi(argv[4]) };
        if (sigqueue(atoi(argv[2]), atoi(argv[3]), value) != 0) fail("sigqueue");
    } else if (!strcmp(action, "exit")) {
        return atoi(argv[2]);
    } else if (!strcmp(action, "die")) {
        int sig = atoi(argv[2]);
        dispose(sig == SIGKILL ? SIGTERM : sig, SIG_DFL);
        block(SIG_UNBLOCK, 1UL << (sig - 1));
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
        return 98;
    } else if (!strcmp(action, "memory")) {
        /* memory MEGABYTES MILLISECONDS [PROCESSES]: holds it for that time in each process */
        long left = argc > 4 ? atol(argv[4]) : 1;
        while (--left > 0)
            if (fork() == 0) break;
        touch((size_t)atol(argv[2]));
        usleep((useconds_t)atol(argv[3]) * 1000);
        while (wait(0) > 0) {}
    } else if (!strcmp(action, "forked-memory")) {
        /* forked-memory MEGABYTES MILLISECONDS kept|rewritten: fills it and forks; in the first half of the time the child writes
           to all of it and takes 30 MB more, or does not */
        size_t bytes = (size_t)atol(argv[2]) << 20;
        useconds_t half = (useconds_t)atol(argv[3]) * 500;
        char *memory = touch(bytes >> 20);
        if (fork() != 0) {
            wait(0);
            return 0;
        }
        for (size_t step = 0; step < 30; step++) {
            usleep(half / 30);
            if (!strcmp(argv[4], "kept")) continue;
            for (size_t at = step * bytes / 30; at < (step + 1) * bytes / 30; at += 4096) memory[at] = 2;
            touch(1);
        }
        usleep(half);
    } else if (!strcmp(action, "burn")) {
        burn(atof(argv[2]));
    } else if (!strcmp(action, "burn-below")) {
        /* burn-below SECONDS waited|unwaited: a grandchild of the wrapper uses the time */
        int pid = fork();
        if (pid == 0) { burn(atof(argv[2])); _exit(0); }
        if (!strcmp(argv[3], "waited")) waitpid(pid, 0, 0);
    } else if (!strcmp(action, "daemon")) {
        /* daemon FILE: leaves an orphan that writes its own pid and its new parent's, and stays; ends when it has */
        int gone[2];
        if (pipe(gone)) fail("pipe");
        if (fork() == 0) {
            if (fork() != 0) _exit(0);
            char byte;
            close(gone[1]);
            if (read(gone[0], &byte, 1) != 0) _exit(1);
            setsid();
            FILE *file = fopen(argv[2], "w");
            fprintf(file, "%d %d\n", getpid(), getppid());
            fclose(file);
            sleep(60);
            _exit(0);
        }
        close(gone[1]);
        wait(0);
        struct stat written = { 0 };
        while (stat(argv[2], &written) != 0 || written.st_size == 0) usleep(2000);
    } else if (!strcmp(action, "on-term")) {
        /* on-term STATUS: exits with it when TERM or INT comes, after having said so once for each */
        struct sigaction handle = { 0 };
        handle.sa_handler = tell;
        sigaction(SIGTERM, &handle, 0);
        sigaction(SIGINT, &handle, 0);
        printf("ready\n");
        fflush(stdout);
        /* Not pause(): a signal between the check and the sleep would be lost. */
        while (!got) usleep(10000);
        printf("got %d\n", (int)got);
        return atoi(argv[2]);
    } else if (!strcmp(action, "leave")) {
        /* leave SIGNAL: dies of it and leaves a process of another session behind */
        if (fork() == 0) { setsid(); sleep(60); _exit(0); }
        raise(atoi(argv[2]));
    } else if (!strcmp(action, "all-root")) {
        /* all-root MILLISECONDS: as sudo does, takes every user id that a setuid bit allows; then nobody may signal it */
        if (setuid(0) != 0) fail("setuid");
        printf("ready\n");
        fflush(stdout);
        usleep((useconds_t)atol(argv[2]) * 1000);
    } else if (!strcmp(action, "crowd")) {
        /* crowd N: N processes that sleep until this one is ended */
        for (int i = atoi(argv[2]); i > 0; i--)
            if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
        printf("ready\n");
        fflush(stdout);
        pause();
    } else if (!strcmp(action, "usage")) {
        /* usage FILE COMMAND...: runs it, and writes its peak RSS in KiB and its CPU time in microseconds, both with all processes
           that were waited for. A caller with a large resident set would count as the command's. */
        int pid = fork(), status;
        if (pid == 0) { execvp(argv[3], argv + 3); _exit(127); }
        struct rusage used;
        if (wait4(pid, &status, 0, &used) < 0) fail("wait4");
        FILE *file = fopen(argv[2], "w");
        if (!file) fail(argv[2]);
        fprintf(file, "%ld %ld\n", used.ru_maxrss, (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L
            + used.ru_utime.tv_usec + used.ru_stime.tv_usec);
        if (fclose(file) != 0) fail(argv[2]);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (!strcmp(action, "orphans")) {
        /* orphans N: leaves N processes behind that end at once, says so, and ends with 7 when TERM comes */
        struct sigaction handle = { 0 };
        handle.sa_handler = tell;
        sigaction(SIGTERM, &handle, 0);
        for (int i = atoi(argv[2]); i > 0; i--)
            if (fork() == 0) { if (fork() == 0) { usleep(20000); _exit(3); } _exit(0); }
        while (wait(0) > 0) {}
        printf("ready\n");
        fflush(stdout);
        while (!got) usleep(10000);
        return 7;
    } else {
        fprintf(stderr, "probe: no action '%s'\n", action);
        return 99;
    }
    return 0;
}
