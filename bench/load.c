/*
 * A WebSocket load generator for Linux: one thread, epoll, no dependency.
 *
 *   load [options] -p PORT -f FILE    closed-loop calls, one JSON line at the end
 *   load [options] -p PORT --idle N   hold N silent connections until stdin closes
 *
 *   -p PORT        port on 127.0.0.1          -u PATH    request path, "/ws"
 *   -c N           connections                -k N       calls in flight on each
 *   -n N           calls that are counted     -w N       calls before these, to warm up
 *   -t SECONDS     give up after so long      -f FILE    text of a call; its 9-character
 *                                                        placeholders "@@@@@@@@@" are the id
 *   --id-key TEXT     what stands before the id in an answer
 *   --prefix TEXT     frames that begin otherwise are no answers
 *   --ping TEXT, --pong TEXT   a heartbeat of text frames, and what to answer
 *   --hello TEXT      sent as soon as a connection is open
 *   --init-recv N     frames the server sends before calls may start
 *   --init-send TEXT  sent when the first of these is there
 *   --more TEXT       a frame with TEXT in it is an item of an answer that goes on
 *   --ack-every N     after every N items of an answer acknowledge them, by "$ack"
 *   --fan             the first connection calls, and a frame with the TEXT of --more is to reach
 *                     them all: these are the items, the last of them is the answer
 *   --pid PID         the server, whose CPU time is counted
 *   --show            print the first item and the first answer to stderr
 *
 * A closed loop: each answer lets the next call go, so that at any time c * k calls are
 * under way. The frame of a call is built and masked once; only the nine digits of its id
 * change. Each answer, and each item of one, has to name an id that is under way, else it
 * counts as bad. With --fan each connection has to get each item, in order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

enum { ID_DIGITS = 9, FIRST_ID = 100000000, IDS_AT_MOST = 4, HANDSHAKES_AT_ONCE = 64, READ_AT_LEAST = 4096 };
enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

typedef struct {
    char *bytes;
    size_t start, end, size; /* what counts is [start, end) */
} Buffer;

typedef struct {
    int fd;
    bool upgraded, ready, stuck; /* stuck: the kernel takes no more, EPOLLOUT is awaited */
    int greetings;               /* frames received before it was ready */
    long fanned;                 /* items received, of --fan */
    Buffer in, out;
} Connection;

static struct {
    int port, connections, in_flight, seconds, idle, init_recv, pid;
    long counted, warm_up, ack_every;
    const char *path, *file, *id_key, *prefix, *ping, *pong, *hello, *init_send, *more;
    bool show, show_item, fan;
} opt = {.port = 8000, .connections = 1, .in_flight = 1, .seconds = 60, .counted = 1000, .path = "/ws"};

static int epoll;
static Connection *connections;
static int ready; /* connections that may call */

static Buffer call;                  /* the frame of a call, masked */
static size_t id_at[IDS_AT_MOST];    /* where its ids stand in the frame */
static size_t id_phase[IDS_AT_MOST]; /* and in the text, which decides the byte of the mask */
static int ids;
static uint64_t *sent_at; /* by call; 0 when it is not under way */
static long *items_of;    /* by call; how many came */
static uint32_t *latencies;
static long total, sent, answered, measured, items, bad, closes;
static uint64_t began_at, ended_at, cpu_at_begin, cpu_at_end;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds of CPU that all threads of the server have had. */
static uint64_t server_cpu(void) {
    char path[320], line[128];
    uint64_t sum = 0;
    if (!opt.pid) return 0;
    snprintf(path, sizeof path, "/proc/%d/task", opt.pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", opt.pid, task->d_name);
        int fd = open(path, O_RDONLY);
        if (fd < 0) continue; /* the thread has just ended */
        ssize_t n = read(fd, line, sizeof line - 1);
        close(fd);
        if (n <= 0) continue;
        line[n] = 0;
        sum += strtoull(line, NULL, 10);
    }
    closedir(tasks);
    return sum;
}

/* ---- buffers and frames ---- */

/* Room for n more bytes behind the end. */
static void reserve(Buffer *b, size_t n) {
    if (b->size - b->end >= n) return;
    if (b->start) {
        memmove(b->bytes, b->bytes + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    if (b->size - b->end >= n) return;
    b->size = b->end + n > 2 * b->size ? b->end + n : 2 * b->size;
    b->bytes = realloc(b->bytes, b->size);
    if (!b->bytes) fail("realloc");
}

static void append(Buffer *b, const void *bytes, size_t n) {
    reserve(b, n);
    memcpy(b->bytes + b->end, bytes, n);
    b->end += n;
}

static void append_frame(Buffer *b, int opcode, const char *payload, size_t n) {
    uint8_t head[14] = {0x80 | opcode};
    size_t used = 2;
    int length_bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
    head[1] = 0x80 | (length_bytes == 0 ? n : length_bytes == 2 ? 126 : 127);
    for (int i = length_bytes - 1; i >= 0; i--) head[used++] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(head + used, MASK, 4);
    append(b, head, used + 4);
    append(b, payload, n);
    for (size_t i = 0; i < n; i++) b->bytes[b->end - n + i] ^= MASK[i & 3];
}

static void build_call(void) {
    char *text = NULL;
    size_t n = 0;
    FILE *file = fopen(opt.file, "r");
    if (!file) fail(opt.file);
    ssize_t read = getdelim(&text, &n, 0, file);
    fclose(file);
    if (read <= 0) fail("the file of the call");
    append_frame(&call, TEXT, text, (size_t)read);
    for (char *id = text; ids < IDS_AT_MOST && (id = strstr(id, "@@@@@@@@@")); id += ID_DIGITS) {
        id_phase[ids] = (size_t)(id - text);
        id_at[ids] = call.end - (size_t)read + id_phase[ids];
        ids++;
    }
    if (!ids) {
        fprintf(stderr, "%s has no @@@@@@@@@ for the id\n", opt.file);
        exit(1);
    }
    free(text);
}

/* ---- connections ---- */

static void watch(Connection *c, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (c->stuck ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &event)) fail("epoll_ctl");
}

static void lost(Connection *c) {
    if (c->fd < 0) return;
    close(c->fd);
    c->fd = -1;
    closes++;
}

static void flush(Connection *c) {
    while (c->fd >= 0 && c->out.start < c->out.end) {
        ssize_t n = send(c->fd, c->out.bytes + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!c->stuck) {
                c->stuck = true;
                watch(c, EPOLL_CTL_MOD);
            }
            return;
        }
        if (n < 0) {
            lost(c);
            return;
        }
        c->out.start += (size_t)n;
    }
    c->out.start = c->out.end = 0;
    if (c->stuck) {
        c->stuck = false;
        if (c->fd >= 0) watch(c, EPOLL_CTL_MOD);
    }
}

static void begin_measuring(void) {
    cpu_at_begin = server_cpu();
    began_at = now();
}

static void next_call(Connection *c) {
    if (sent == total) return;
    append(&c->out, call.bytes, call.end);
    char *frame = c->out.bytes + c->out.end - call.end;
    for (int each = 0; each < ids; each++) {
        long number = FIRST_ID + sent;
        for (size_t i = ID_DIGITS; i-- > 0; number /= 10)
            frame[id_at[each] + i] = (char)(('0' + number % 10) ^ MASK[(id_phase[each] + i) & 3]);
    }
    sent_at[sent++] = now();
}

/* The first of its kind is shown. */
static void show(bool *wanted, const char *text, size_t n) {
    if (*wanted) fprintf(stderr, "%.*s\n", (int)n, text);
    *wanted = false;
}

/* The call that a frame belongs to; -1, and the frame is bad, where none such is under way. */
static long call_of(const char *text, size_t n) {
    const char *id = memmem(text, n, opt.id_key, strlen(opt.id_key)), *end = text + n;
    if (id) id += strlen(opt.id_key);
    while (id && id < end && (*id == ' ' || *id == '"')) id++;
    long number = 0;
    for (int i = 0; id && i < ID_DIGITS && id < end; i++) number = number * 10 + (*id++ - '0');
    number -= FIRST_ID;
    if (id && number >= 0 && number < sent && sent_at[number]) return number;
    bad++;
    return -1;
}

static void on_item(Connection *c, const char *text, size_t n) {
    show(&opt.show_item, text, n);
    long number = call_of(text, n);
    if (number < 0) return;
    long came = ++items_of[number];
    if (opt.ack_every && came % opt.ack_every == 0) {
        char ack[128];
        int length = snprintf(ack, sizeof ack, "{\"uuid\":%ld,\"route\":\"$ack\",\"headers\":{\"$seq\":%ld}}",
                              FIRST_ID + number, came - 1);
        append_frame(&c->out, TEXT, ack, (size_t)length);
    }
}

/* `number` has its answer; -1, and it was a bad one. */
static void answer(Connection *c, long number, uint64_t at) {
    if (number >= 0) {
        if (answered >= opt.warm_up) {
            uint64_t waited = at - sent_at[number];
            latencies[measured++] = waited > UINT32_MAX ? UINT32_MAX : (uint32_t)waited;
            items += items_of[number];
        }
        sent_at[number] = 0;
    }
    answered++;
    if (answered == opt.warm_up) begin_measuring();
    if (answered == total) {
        ended_at = now();
        cpu_at_end = server_cpu();
    }
    next_call(c);
}

static void on_answer(Connection *c, const char *text, size_t n, uint64_t at) {
    show(&opt.show, text, n);
    answer(c, call_of(text, n), at);
}

/* What has reached all is answered: the first connection may go on. */
static void on_fanned(Connection *c, const char *text, size_t n, uint64_t at) {
    show(&opt.show, text, n);
    long number = call_of(text, n);
    if (number < 0) return;
    if (number != c->fanned++) bad++;
    if (++items_of[number] < opt.connections) return;
    answer(connections, number, at);
    if (c != connections) flush(connections);
}

static bool is(const char *expected, const char *text, size_t n) {
    return expected && n == strlen(expected) && !memcmp(text, expected, n);
}

static void on_text(Connection *c, const char *text, size_t n, uint64_t at) {
    if (!c->ready) {
        if (!c->greetings++ && opt.init_send) append_frame(&c->out, TEXT, opt.init_send, strlen(opt.init_send));
        if (c->greetings >= opt.init_recv) {
            c->ready = true;
            ready++;
        }
        return;
    }
    if (is(opt.ping, text, n)) {
        append_frame(&c->out, TEXT, opt.pong, strlen(opt.pong));
        return;
    }
    if (opt.prefix && (n < strlen(opt.prefix) || memcmp(text, opt.prefix, strlen(opt.prefix)))) return;
    bool more = opt.more && memmem(text, n, opt.more, strlen(opt.more));
    if (opt.fan && more) on_fanned(c, text, n, at);
    else if (more) on_item(c, text, n);
    else if (!opt.fan) on_answer(c, text, n, at);
}

/* Takes the answer to the upgrade, then whole frames, from the front of what was received. */
static void parse(Connection *c) {
    Buffer *in = &c->in;
    uint64_t at = now();
    if (!c->upgraded) {
        char *end = memmem(in->bytes + in->start, in->end - in->start, "\r\n\r\n", 4);
        if (!end) return;
        if (memcmp(in->bytes, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "upgrade refused: %.*s\n", (int)(end - in->bytes), in->bytes);
            exit(3);
        }
        in->start = (size_t)(end + 4 - in->bytes);
        c->upgraded = true;
        if (opt.hello) append_frame(&c->out, TEXT, opt.hello, strlen(opt.hello));
        if (!opt.init_recv) {
            c->ready = true;
            ready++;
        }
    }
    while (in->end - in->start >= 2) {
        const uint8_t *head = (uint8_t *)in->bytes + in->start;
        size_t have = in->end - in->start, n = head[1] & 127;
        size_t length_bytes = n < 126 ? 0 : n == 126 ? 2 : 8;
        if (have < 2 + length_bytes) break;
        if (length_bytes) n = 0;
        for (size_t i = 0; i < length_bytes; i++) n = n << 8 | head[2 + i];
        if (have < 2 + length_bytes + n) {
            reserve(in, 2 + length_bytes + n - have);
            break;
        }
        const char *payload = (const char *)head + 2 + length_bytes;
        in->start += 2 + length_bytes + n;
        switch (head[0]) {
            case 0x80 | TEXT:
            case 0x80 | BINARY:
                on_text(c, payload, n, at);
                break;
            case 0x80 | PING:
                append_frame(&c->out, PONG, payload, n);
                break;
            case 0x80 | PONG:
                break;
            case 0x80 | CLOSE:
                if (n >= 2) fprintf(stderr, "closed by the server: %d\n", (uint8_t)payload[0] << 8 | (uint8_t)payload[1]);
                lost(c);
                return;
            default: /* fragments and extensions are nothing we asked for */
                bad++;
        }
    }
    if (in->start == in->end) in->start = in->end = 0;
}

static void on_readable(Connection *c) {
    while (c->fd >= 0) {
        reserve(&c->in, READ_AT_LEAST);
        size_t room = c->in.size - c->in.end;
        ssize_t n = recv(c->fd, c->in.bytes + c->in.end, room, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            lost(c);
            return;
        }
        c->in.end += (size_t)n;
        parse(c);
        if ((size_t)n < room) return;
    }
}

static void open_connection(Connection *c) {
    int on = 1;
    char request[1024];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (void *)&address, sizeof address)) fail("connect");
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     opt.path, opt.port);
    append(&c->out, request, (size_t)n);
    watch(c, EPOLL_CTL_ADD);
    flush(c);
}

/* Waits once, and serves what came. False when stdin, being watched, was closed. */
static bool turn(int milliseconds) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, milliseconds);
    for (int i = 0; i < n; i++) {
        Connection *c = events[i].data.ptr;
        char rest[256];
        if (!c && read(STDIN_FILENO, rest, sizeof rest) <= 0) return false;
        if (!c || c->fd < 0) continue;
        if (events[i].events & ~(uint32_t)EPOLLOUT) on_readable(c);
        flush(c);
    }
    return true;
}

static void open_all(int n) {
    uint64_t deadline = now() + (uint64_t)opt.seconds * 1000000000u;
    connections = calloc((size_t)n, sizeof *connections);
    for (int opened = 0; ready < n;) {
        while (opened < n && opened - ready < HANDSHAKES_AT_ONCE) open_connection(&connections[opened++]);
        turn(10);
        if (closes || now() > deadline) {
            fprintf(stderr, "only %d of %d connections opened\n", ready, n);
            exit(4);
        }
    }
}

/* ---- the two modes ---- */

static void hold(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event)) fail("stdin has to be a pipe or a terminal");
    printf("READY %d\n", ready);
    fflush(stdout);
    while (turn(-1)) continue;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double latency(double quantile) {
    return measured ? latencies[(long)((double)(measured - 1) * quantile)] / 1000.0 : 0;
}

static bool run(void) {
    uint64_t deadline = now() + (uint64_t)opt.seconds * 1000000000u;
    if (!opt.warm_up) begin_measuring();
    for (int i = 0; i < (opt.fan ? 1 : opt.connections); i++) {
        for (int k = 0; k < opt.in_flight; k++) next_call(&connections[i]);
        flush(&connections[i]);
    }
    while (answered < total && !closes && now() < deadline) turn(100);

    bool ok = answered == total && !bad && !closes;
    if (!ended_at) ended_at = now();
    double seconds = (double)(ended_at - began_at) / 1e9;
    double cpu = cpu_at_end > cpu_at_begin && measured ? (double)(cpu_at_end - cpu_at_begin) / 1000.0 / (double)measured : 0;
    qsort(latencies, (size_t)measured, sizeof *latencies, ascending);
    printf("{\"ok\": %s, \"n\": %ld, \"secs\": %.6f, \"per_s\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, "
           "\"max\": %.1f, \"cpu_us\": %.3f, \"bad\": %ld, \"closes\": %ld",
           ok ? "true" : "false", measured, seconds, (double)measured / seconds, latency(0.5), latency(0.9),
           latency(0.99), latency(1), cpu, bad, closes);
    if (items) {
        printf(", \"items\": %ld, \"items_per_s\": %.1f, \"item_cpu_us\": %.3f", items, (double)items / seconds,
               cpu * (double)measured / (double)items);
    }
    printf("}\n");
    return ok;
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(name, "--show")) {
            opt.show = opt.show_item = true;
            continue;
        }
        if (!strcmp(name, "--fan")) {
            opt.fan = true;
            continue;
        }
        i++;
        if (!strcmp(name, "-p")) opt.port = atoi(value);
        else if (!strcmp(name, "-u")) opt.path = value;
        else if (!strcmp(name, "-c")) opt.connections = atoi(value);
        else if (!strcmp(name, "-k")) opt.in_flight = atoi(value);
        else if (!strcmp(name, "-n")) opt.counted = atol(value);
        else if (!strcmp(name, "-w")) opt.warm_up = atol(value);
        else if (!strcmp(name, "-t")) opt.seconds = atoi(value);
        else if (!strcmp(name, "-f")) opt.file = value;
        else if (!strcmp(name, "--id-key")) opt.id_key = value;
        else if (!strcmp(name, "--prefix")) opt.prefix = value;
        else if (!strcmp(name, "--ping")) opt.ping = value;
        else if (!strcmp(name, "--pong")) opt.pong = value;
        else if (!strcmp(name, "--hello")) opt.hello = value;
        else if (!strcmp(name, "--init-recv")) opt.init_recv = atoi(value);
        else if (!strcmp(name, "--init-send")) opt.init_send = value;
        else if (!strcmp(name, "--more")) opt.more = value;
        else if (!strcmp(name, "--ack-every")) opt.ack_every = atol(value);
        else if (!strcmp(name, "--pid")) opt.pid = atoi(value);
        else if (!strcmp(name, "--idle")) opt.idle = atoi(value);
        else {
            fprintf(stderr, "unknown option %s\n", name);
            exit(1);
        }
    }
    if (!opt.idle && (!opt.file || !opt.id_key)) {
        fprintf(stderr, "-f and --id-key are needed, or --idle\n");
        exit(1);
    }
    if (opt.fan && !opt.more) {
        fprintf(stderr, "--fan needs --more\n");
        exit(1);
    }
    if (!opt.ping != !opt.pong) {
        fprintf(stderr, "--ping and --pong go together\n");
        exit(1);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(0);

    if (opt.idle) {
        open_all(opt.idle);
        hold();
        return 0;
    }
    build_call();
    total = opt.warm_up + opt.counted;
    sent_at = calloc((size_t)total, sizeof *sent_at);
    items_of = calloc((size_t)total, sizeof *items_of);
    latencies = calloc((size_t)opt.counted, sizeof *latencies);
    open_all(opt.connections);
    return run() ? 0 : 5;
}
