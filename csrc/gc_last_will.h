/* Die with the parent, and take the process group along.
 *
 * The kernel can send a process a signal when the thread that started it ends (PR_SET_PDEATHSIG).
 * SIGKILL would end the worker alone and leave the processes that its calls have started. So another
 * signal is asked for, and its handler kills the whole group. A handler in Python would wait for the
 * interpreter, which a call may hold without end; this one runs at once: kill() is async-signal-safe.
 *
 * Linux only. Thread rule: call it from any thread, once; the parent is the thread that forked us.
 */
#ifndef GC_LAST_WILL_H
#define GC_LAST_WILL_H

/* Install the handler and ask the kernel for the signal. The caller leads its process group.
 * Returns 0, or an errno: EPERM if the caller does not lead its group, ENOSYS where there is no such call. */
int gc_die_with_parent(void);

#endif
