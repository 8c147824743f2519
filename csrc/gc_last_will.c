#define _GNU_SOURCE
#include "gc_last_will.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>

static void kill_group(int signal_number)
{
    (void)signal_number;
    kill(0, SIGKILL); /* 0: every process of the caller's group, itself included */
}

int gc_die_with_parent(void)
{
    /* A real-time signal that nobody uses by name: Python's signal module, debuggers and libraries
     * fight over the classic ones. Its default action ends the process, so an exec() is covered too. */
    const int last_will = SIGRTMAX - 1;
    struct sigaction action;

    if (getpgrp() != getpid())
        return EPERM;
    memset(&action, 0, sizeof action);
    action.sa_handler = kill_group;
    sigemptyset(&action.sa_mask);
    if (sigaction(last_will, &action, NULL) != 0)
        return errno;
    if (prctl(PR_SET_PDEATHSIG, last_will, 0, 0, 0) != 0)
        return errno;
    return 0;
}
#else
int gc_die_with_parent(void)
{
    return ENOSYS;
}
#endif
