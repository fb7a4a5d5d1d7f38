#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The seconds by which the time of day is ahead. */
static volatile long none, *ahead = &none;

__attribute__((constructor)) static void begin(void) {
	const char *name = getenv("POSTWHERE_CLOCK");
	int fd = name ? open(name, O_RDONLY) : -1;
	void *at = fd >= 0 ? mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (at != MAP_FAILED) ahead = at;
	if (fd >= 0) close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
	int failed = syscall(SYS_clock_gettime, clock, now);
	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
	return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
	int failed = syscall(SYS_gettimeofday, now, zone);
	if (!failed && now) now->tv_sec += *ahead;
	return failed;
}

time_t time(time_t *now) {
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	if (now) *now = at.tv_sec;
	return at.tv_sec;
}
