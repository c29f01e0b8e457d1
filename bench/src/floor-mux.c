/* The floor for multiplexers: an echo server over bare system calls, the way
 * the manual pages show them. src/bin/mux.rs is the same by a multiplexer of
 * ours. In C, because select(2) can't be called from safe Rust.
 *
 *     floor-mux select|poll|epoll-level|epoll-edge unix:PATH|127.0.0.1:0
 *
 * Each loop finds the ready sockets its own way and lets `answer` do the rest.
 * Nothing is kept about a connection, and errors of set-up end the program.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RECV_BYTES = 4096, EVENTS = 256, MAX = 20000 };

/* Accepts one connection; -1 when none is left. */
static int next_connection(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN) err(1, "accept");
    int on = 1;
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* Unix: no matter */
    return fd;
}

/* Sends back what is there; 0 when the connection is over and was closed. A
 * short read has emptied the socket, so an edge needs no second one. */
static int answer(int fd) {
    static char buffer[RECV_BYTES];
    ssize_t received = recv(fd, buffer, sizeof buffer, 0);
    if (received > 0 && send(fd, buffer, received, MSG_NOSIGNAL) == received) return 1;
    close(fd);
    return 0;
}

static void by_epoll(int listener, uint32_t trigger) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) err(1, "epoll_ctl");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                answer(fd); /* closing a socket takes it out of the set */
                continue;
            }
            while ((fd = next_connection(listener)) >= 0) {
                event = (struct epoll_event){.events = EPOLLIN | trigger, .data.fd = fd};
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) err(1, "epoll_ctl");
            }
        }
    }
}

static void by_epoll_level(int listener) { by_epoll(listener, 0); }
static void by_epoll_edge(int listener) { by_epoll(listener, EPOLLET); }

static void by_poll(int listener) {
    static struct pollfd set[MAX];
    nfds_t length = 1;
    set[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (;;) {
        int left = poll(set, length, -1), fd;
        for (nfds_t i = 1; left > 0 && i < length; i++) {
            if (!set[i].revents) continue;
            left--;
            if (!answer(set[i].fd)) set[i].fd = -1; /* passed over from now on */
        }
        if (!set[0].revents) continue;
        while ((fd = next_connection(listener)) >= 0) {
            if (length == MAX) errx(1, "more than %d connections", MAX);
            set[length++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
}

static void by_select(int listener) {
    fd_set watched, ready;
    int highest = listener;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    for (;;) {
        ready = watched;
        int left = select(highest + 1, &ready, NULL, NULL, NULL), fd;
        for (fd = 0; left > 0 && fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            left--;
            if (fd != listener && !answer(fd)) FD_CLR(fd, &watched);
        }
        if (!FD_ISSET(listener, &ready)) continue;
        while ((fd = next_connection(listener)) >= 0) {
            if (fd >= FD_SETSIZE) errx(1, "select takes descriptors below %d", FD_SETSIZE);
            FD_SET(fd, &watched);
            if (fd > highest) highest = fd;
        }
    }
}

static const struct {
    const char *name;
    void (*serve)(int listener);
} kinds[] = {
    {"select", by_select},
    {"poll", by_poll},
    {"epoll-level", by_epoll_level},
    {"epoll-edge", by_epoll_edge},
};

/* Listens on a Unix path or on a free port of 127.0.0.1, and says where. */
static int listen_on(const char *address) {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in inet;
    } name = {0};
    socklen_t length;
    if (!strncmp(address, "unix:", 5)) {
        name.local.sun_family = AF_UNIX;
        snprintf(name.local.sun_path, sizeof name.local.sun_path, "%s", address + 5);
        length = sizeof name.local;
    } else {
        name.inet.sin_family = AF_INET;
        name.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        length = sizeof name.inet;
    }
    int listener = socket(name.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, &name.any, length) || listen(listener, SOMAXCONN))
        err(1, "%s", address);
    if (name.any.sa_family == AF_UNIX) {
        printf("listening on %s\n", address);
    } else {
        if (getsockname(listener, &name.any, &length)) err(1, "getsockname");
        printf("listening on 127.0.0.1:%d\n", ntohs(name.inet.sin_port));
    }
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max; /* often 1024 at first */
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(argv[1], kinds[i].name)) kinds[i].serve(listen_on(argv[2]));
    errx(1, "usage: floor-mux select|poll|epoll-level|epoll-edge unix:PATH|127.0.0.1:0");
}
