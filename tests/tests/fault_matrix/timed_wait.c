/* libfaketime knows pthread_cond_timedwait and not C11's cnd_timedwait, which librdkafka waits with: its deadlines, made from the
   false clock, would be held against the true one. Preloaded before libfaketime, this leads the one to the other. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    switch (pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until)) {
    case 0: return thrd_success;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}
