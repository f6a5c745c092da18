/* A step of the decoder on a processor: what decoder.py does with torch, without a call for each small operation.

   Weights are bf16, everything else is fp32. Every matrix product (weights, scores, values) is made of one kind of
   tile: a few rows by a few vectors, summed over the depth in order. So what a row gives does not depend on the rows
   beside it, nor on the number of threads: a draft is verified by exactly what a step alone would have said.

   Built by native.py, which also lays the weights out: (out / BLOCK, in, BLOCK).

   Letters: T new tokens, S tokens to look at, H heads of queries, K of keys and values, G = H / K, D head_dim. */

#define _GNU_SOURCE /* sched_getcpu */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 6 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 2 };
#else
enum { LANES = 4, ROWS = 6 };
#endif
enum { VECS = 4, BLOCK = VECS * LANES, LONGEST_SPIN = 20000, SPINS_AT_ONCE = 2000 };

/* not aligned, and over memory of any type */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))

struct layer {
    const float *norm, *qk_norm, *ff_norm; /* as decoder.py holds them: times the square root of their width */
    const uint16_t *qkv, *out, *gate, *up, *down;
};

struct shape {
    int32_t n_layer, n_embd, n_head, n_kv_head, head_dim, n_ff, vocab_size, context_length, most_rows, threads;
    float norm_eps;
};

struct job {
    const int64_t *ids; /* NULL: logits of `hidden` instead */
    const float *hidden;
    float *keys, *values, *out;
    int32_t rows, start, room;
};

struct model {
    struct shape shape;
    const struct layer *layers;
    const float *embedding, *norm, *cos, *signed_sin;
    const uint16_t *head;
    float *memory, *x, *qkv, *q, *y, *ff, **normed, **scores;
    struct job job;
    /* the team: helpers wait for the next round, spinning for a while, then asleep */
    pthread_t *helpers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint32_t round, phase;
    _Atomic int32_t arrived, leaving, asleep, leader_cpu;
};

struct member {
    struct model *model;
    int32_t number;
};

INLINE int32_t padded(int32_t n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }

INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* --- the team */

INLINE void pause_for_a_moment(int32_t *spun) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (++*spun % SPINS_AT_ONCE == 0) sched_yield(); /* whoever is waited for may need this core */
}

static void meet(struct model *model) {
    if (model->shape.threads == 1) return;
    uint32_t phase = atomic_load(&model->phase);
    if (atomic_fetch_add(&model->arrived, 1) == model->shape.threads - 1) {
        atomic_store(&model->arrived, 0);
        atomic_store(&model->phase, phase + 1);
        return;
    }
    for (int32_t spun = 0; atomic_load_explicit(&model->phase, memory_order_acquire) == phase;)
        pause_for_a_moment(&spun);
}

/* A sleeper is often woken on the core of the one who wakes it, and the two would take turns there for milliseconds. */
#if defined(__linux__)
static int32_t this_cpu(void) { return sched_getcpu(); }

static void leave_cpu(int32_t cpu) {
    cpu_set_t all, others;
    if (cpu < 0 || cpu != this_cpu() || sched_getaffinity(0, sizeof all, &all)) return;
    others = all;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others)) sched_setaffinity(0, sizeof all, &all);
}
#else
static int32_t this_cpu(void) { return -1; }

static void leave_cpu(int32_t cpu) { (void)cpu; }
#endif

static void work(struct model *model, int32_t number);

static void *help(void *argument) {
    struct member *member = argument;
    struct model *model = member->model;
    uint32_t seen = 0;
    for (;;) {
        for (int32_t spun = 0; atomic_load(&model->round) == seen;) {
            pause_for_a_moment(&spun);
            if (spun < LONGEST_SPIN) continue;
            pthread_mutex_lock(&model->lock);
            atomic_fetch_add(&model->asleep, 1);
            while (atomic_load(&model->round) == seen) pthread_cond_wait(&model->wake, &model->lock);
            atomic_fetch_sub(&model->asleep, 1);
            pthread_mutex_unlock(&model->lock);
        }
        seen++;
        if (atomic_load(&model->leaving)) break;
        leave_cpu(atomic_load(&model->leader_cpu));
        work(model, member->number);
        meet(model);
    }
    free(member);
    return NULL;
}

static void next_round(struct model *model) {
    atomic_store(&model->leader_cpu, this_cpu());
    atomic_fetch_add(&model->round, 1);
    if (atomic_load(&model->asleep) == 0) return; /* one that is about to sleep looks at the round once more */
    pthread_mutex_lock(&model->lock);
    pthread_cond_broadcast(&model->wake);
    pthread_mutex_unlock(&model->lock);
}

static void run(struct model *model) {
    if (model->shape.threads > 1) next_round(model);
    work(model, 0);
    meet(model);
}

/* This member's part of n pieces. */
INLINE void share(const struct model *model, int32_t number, int32_t n, int32_t *first, int32_t *last) {
    *first = (int32_t)((int64_t)n * number / model->shape.threads);
    *last = (int32_t)((int64_t)n * (number + 1) / model->shape.threads);
}

/* --- products */

INLINE vec weights_at(const void *weights, int64_t place, const int is_half) {
    if (!is_half) return *(const vec *)((const float *)weights + place);
    halves read = *(const halves *)((const uint16_t *)weights + place);
    return (vec)(__builtin_convertvector(read, bits) << 16);
}

/* rows of x (depth) times weights (depth, vecs * LANES) -> rows of out, set or added to. */
INLINE void tile(const int rows, const int vecs, const int is_half, const int adds, int32_t depth, const float *x,
                 int32_t x_stride, const void *weights, int64_t stride, float *out, int32_t out_stride) {
    vec sum[2 * ROWS][VECS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) sum[r][v] = (vec){0};
    for (int32_t i = 0; i < depth; i++) {
        vec read[VECS];
        for (int v = 0; v < vecs; v++) read[v] = weights_at(weights, i * stride + v * LANES, is_half);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vecs; v++) sum[r][v] += read[v] * x[(int64_t)r * x_stride + i];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) {
            vec *place = (vec *)(out + (int64_t)r * out_stride + v * LANES);
            if (adds) sum[r][v] += *place;
            *place = sum[r][v];
        }
}

/* The same for 1 to 2 * ROWS rows, each number of them compiled apart so that its sums stay in registers. */
INLINE void tile_of(int32_t rows, const int vecs, const int is_half, const int adds, int32_t depth, const float *x,
                    int32_t x_stride, const void *weights, int64_t stride, float *out, int32_t out_stride) {
    const int most = vecs == VECS ? ROWS : 2 * ROWS;
    switch (rows) {
#define CASE(N)                                                                                              \
    case N:                                                                                                  \
        if (N <= most)                                                                                       \
            tile(N <= most ? N : 1, vecs, is_half, adds, depth, x, x_stride, weights, stride, out, out_stride); \
        break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#undef CASE
    }
}

/* One block of BLOCK outputs for all rows: half a block at a time when they are many, so that weights are read once. */
INLINE void block_of(int32_t rows, const int adds, int32_t depth, const float *x, int32_t x_stride,
                     const uint16_t *weights, float *out, int32_t out_stride) {
    if (rows <= ROWS) {
        tile_of(rows, VECS, 1, adds, depth, x, x_stride, weights, BLOCK, out, out_stride);
        return;
    }
    const int32_t groups = (rows + 2 * ROWS - 1) / (2 * ROWS);
    for (int32_t group = 0; group < groups; group++) {
        const int32_t at = rows * group / groups, n = rows * (group + 1) / groups - at;
        for (int32_t part = 0; part < BLOCK; part += BLOCK / 2)
            tile_of(n, VECS / 2, 1, adds, depth, x + (int64_t)at * x_stride, x_stride, weights + part, BLOCK,
                    out + (int64_t)at * out_stride + part, out_stride);
    }
}

static void set_block(int32_t rows, int32_t depth, const float *x, int32_t x_stride, const uint16_t *weights,
                      float *out, int32_t out_stride) {
    block_of(rows, 0, depth, x, x_stride, weights, out, out_stride);
}

static void add_block(int32_t rows, int32_t depth, const float *x, int32_t x_stride, const uint16_t *weights,
                      float *out, int32_t out_stride) {
    block_of(rows, 1, depth, x, x_stride, weights, out, out_stride);
}

/* --- what stands between products */

INLINE vec chosen(ints mask, vec yes, vec no) { return (vec)((mask & (ints)yes) | (~mask & (ints)no)); }

/* exp to within 2 units in the last place: 2^n times the series of the rest, |rest| <= ln 2 / 2. */
INLINE vec exp_of(vec x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    vec low = (vec){0} - 87.0f, high = (vec){0} + 88.0f;
    x = chosen(x > low, x, low);
    x = chosen(x < high, x, high);
    vec whole = x * 1.44269504f + magic;
    vec n = whole - magic;
    vec rest = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = rest * (1.0f / 5040) + 1.0f / 720;
    p = p * rest + 1.0f / 120;
    p = p * rest + 1.0f / 24;
    p = p * rest + 1.0f / 6;
    p = p * rest + 0.5f;
    p = p * rest + 1.0f;
    p = p * rest + 1.0f;
    ints shift = (ints)((bits)whole << 23); /* the low bits of `whole` are n */
    return (vec)((ints)p + shift);
}

INLINE float total(vec v) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}

INLINE float norm_scale(const float *x, int32_t width, float eps) {
    vec sum = {0};
    for (int32_t i = 0; i < width; i += LANES) {
        vec part = *(const vec *)(x + i);
        sum += part * part;
    }
    return 1.0f / sqrtf(total(sum) + (float)width * eps);
}

static void norm_rows(const float *x, int32_t x_stride, int32_t rows, int32_t width, const float *weight, float eps,
                      float *out) {
    for (int32_t r = 0; r < rows; r++, x += x_stride, out += width) {
        float scale = norm_scale(x, width, eps);
        for (int32_t i = 0; i < width; i += LANES)
            *(vec *)(out + i) = *(const vec *)(x + i) * scale * *(const vec *)(weight + i);
    }
}

/* scores (n, stride) -> shares; row r looks at `seen[r]` of them, and gives the others up to `most` nothing. */
static void softmax_rows(float *scores, int32_t stride, int32_t n, const int32_t *seen, int32_t most) {
    for (int32_t r = 0; r < n; r++, scores += stride) {
        int32_t end = (most + LANES - 1) / LANES * LANES;
        vec greatest = (vec){0} - INFINITY;
        for (int32_t s = seen[r]; s < end; s++) scores[s] = -INFINITY;
        for (int32_t s = 0; s < end; s += LANES) {
            vec part = *(const vec *)(scores + s);
            greatest = chosen(part > greatest, part, greatest);
        }
        float top = -INFINITY;
        for (int i = 0; i < LANES; i++) top = greatest[i] > top ? greatest[i] : top;
        for (int32_t s = 0; s < seen[r]; s += LANES) *(vec *)(scores + s) = exp_of(*(const vec *)(scores + s) - top);
        for (int32_t s = seen[r]; s < end; s++) scores[s] = 0;
        vec sum = {0};
        for (int32_t s = 0; s < seen[r]; s += LANES) sum += *(const vec *)(scores + s);
        float share_of = 1.0f / total(sum);
        for (int32_t s = 0; s < seen[r]; s += LANES) *(vec *)(scores + s) = *(const vec *)(scores + s) * share_of;
    }
}

/* Queries and keys normalised and turned, keys and values put where they stay. */
static void place_heads(struct model *model, const struct layer *layer, float *keys, float *values, int32_t number) {
    const struct shape *s = &model->shape;
    const struct job *job = &model->job;
    const int32_t H = s->n_head, K = s->n_kv_head, D = s->head_dim, G = H / K, T = job->rows, half = D / 2;
    const int32_t stride = padded((H + 2 * K) * D);
    int32_t first, last;
    share(model, number, T * (H + 2 * K), &first, &last);
    for (int32_t piece = first; piece < last; piece++) {
        const int32_t t = piece / (H + 2 * K), head = piece % (H + 2 * K), at = job->start + t;
        float *x = model->qkv + (int64_t)t * stride + head * D;
        if (head >= H + K) {
            memcpy(values + ((int64_t)(head - H - K) * job->room + at) * D, x, sizeof(float) * D);
            continue;
        }
        const float *cos = model->cos + (int64_t)at * D, *sin = model->signed_sin + (int64_t)at * D;
        const float *weight = layer->qk_norm + head * D;
        const float scale = norm_scale(x, D, s->norm_eps);
        float *to = head < H ? model->q + (((int64_t)(head / G) * T + t) * G + head % G) * D : x;
        for (int32_t i = 0; i < half; i++) {
            const float low = x[i] * scale * weight[i], high = x[i + half] * scale * weight[i + half];
            to[i] = low * cos[i] + high * sin[i];
            to[i + half] = high * cos[i + half] + low * sin[i + half];
        }
        if (head >= H) {
            float *column = keys + (int64_t)(head - H) * D * job->room + at;
            for (int32_t i = 0; i < D; i++) column[(int64_t)i * job->room] = to[i];
        }
    }
}

static void attend(struct model *model, const float *keys, const float *values, int32_t number) {
    const struct shape *s = &model->shape;
    const struct job *job = &model->job;
    const int32_t H = s->n_head, K = s->n_kv_head, D = s->head_dim, G = H / K, n = job->rows * G;
    const int32_t groups = (n + ROWS - 1) / ROWS, stride = padded(s->context_length);
    float *scores = model->scores[number], result[ROWS * BLOCK];
    int32_t first, last;
    share(model, number, K * groups, &first, &last);
    for (int32_t piece = first; piece < last; piece++) {
        const int32_t head = piece / groups, group = piece % groups;
        const int32_t from = n * group / groups, rows = n * (group + 1) / groups - from;
        const int32_t most = job->start + (from + rows - 1) / G + 1;
        const float *q = model->q + ((int64_t)head * n + from) * D, *k = keys + (int64_t)head * D * job->room;
        const float *v = values + (int64_t)head * job->room * D;
        int32_t seen[ROWS];
        for (int32_t r = 0; r < rows; r++) seen[r] = job->start + (from + r) / G + 1;
        for (int32_t at = 0; at < most; at += BLOCK)
            tile_of(rows, VECS, 0, 0, D, q, D, k + at, job->room, scores + at, stride);
        softmax_rows(scores, stride, rows, seen, most);
        for (int32_t at = 0; at < D;) {
            const int32_t left = (D - at) / LANES, vecs = left >= VECS ? VECS : 1;
            if (vecs == VECS)
                tile_of(rows, VECS, 0, 0, most, scores, stride, v + at, D, result, BLOCK);
            else
                tile_of(rows, 1, 0, 0, most, scores, stride, v + at, D, result, BLOCK);
            for (int32_t r = 0; r < rows; r++) {
                const int32_t t = (from + r) / G, query = head * G + (from + r) % G;
                memcpy(model->y + ((int64_t)t * H + query) * D + at, result + r * BLOCK, sizeof(float) * vecs * LANES);
            }
            at += vecs * LANES;
        }
    }
}

/* gate and up side by side, so that whoever has made both goes on at once: silu(gate) * up. */
static void feed_forward(struct model *model, const struct layer *layer, const float *normed, int32_t number) {
    const struct shape *s = &model->shape;
    const int32_t rows = model->job.rows, stride = padded(s->n_ff);
    float up[BLOCK * 2 * ROWS];
    int32_t first, last;
    share(model, number, stride / BLOCK, &first, &last);
    for (int32_t block = first; block < last; block++) {
        const int64_t at = (int64_t)block * BLOCK * s->n_embd;
        for (int32_t from = 0; from < rows; from += 2 * ROWS) {
            const int32_t n = smaller(2 * ROWS, rows - from);
            const float *x = normed + (int64_t)from * s->n_embd;
            float *gate = model->ff + (int64_t)from * stride + block * BLOCK;
            set_block(n, s->n_embd, x, s->n_embd, layer->gate + at, gate, stride);
            set_block(n, s->n_embd, x, s->n_embd, layer->up + at, up, BLOCK);
            for (int32_t r = 0; r < n; r++)
                for (int32_t i = 0; i < BLOCK; i += LANES) {
                    vec *place = (vec *)(gate + (int64_t)r * stride + i);
                    vec g = *place;
                    *place = g / (exp_of(-g) + 1.0f) * *(const vec *)(up + r * BLOCK + i);
                }
        }
    }
}

/* --- a step */

static void hidden_part(struct model *model, int32_t number) {
    const struct shape *s = &model->shape;
    const struct job *job = &model->job;
    const int32_t C = s->n_embd, wide = s->n_head * s->head_dim, qkv = padded(wide + 2 * s->n_kv_head * s->head_dim);
    const int32_t x_stride = padded(C), ff_stride = padded(s->n_ff), T = job->rows;
    const int64_t cached = (int64_t)s->n_kv_head * job->room * s->head_dim;
    float *normed = model->normed[number], *x = model->x;
    int32_t first, last;
    if (number == 0)
        for (int32_t t = 0; t < T; t++)
            memcpy(x + (int64_t)t * x_stride, model->embedding + job->ids[t] * C, sizeof(float) * C);
    meet(model);
    for (int32_t n = 0; n < s->n_layer; n++) {
        const struct layer *layer = model->layers + n;
        float *keys = job->keys + n * cached, *values = job->values + n * cached;
        norm_rows(x, x_stride, T, C, layer->norm, s->norm_eps, normed);
        share(model, number, qkv / BLOCK, &first, &last);
        for (int32_t b = first; b < last; b++)
            set_block(T, C, normed, C, layer->qkv + (int64_t)b * BLOCK * C, model->qkv + b * BLOCK, qkv);
        meet(model);
        place_heads(model, layer, keys, values, number);
        meet(model);
        attend(model, keys, values, number);
        meet(model);
        share(model, number, x_stride / BLOCK, &first, &last);
        for (int32_t b = first; b < last; b++)
            add_block(T, wide, model->y, wide, layer->out + (int64_t)b * BLOCK * wide, x + b * BLOCK, x_stride);
        meet(model);
        norm_rows(x, x_stride, T, C, layer->ff_norm, s->norm_eps, normed);
        feed_forward(model, layer, normed, number);
        meet(model);
        share(model, number, x_stride / BLOCK, &first, &last);
        for (int32_t b = first; b < last; b++)
            add_block(T, s->n_ff, model->ff, ff_stride, layer->down + (int64_t)b * BLOCK * s->n_ff, x + b * BLOCK,
                      x_stride);
        meet(model);
    }
    if (number == 0) norm_rows(x, x_stride, T, C, model->norm, s->norm_eps, job->out);
}

static void work(struct model *model, int32_t number) {
    const struct shape *s = &model->shape;
    const struct job *job = &model->job;
    if (job->ids) {
        hidden_part(model, number);
        return;
    }
    int32_t first, last, stride = padded(s->vocab_size);
    share(model, number, stride / BLOCK, &first, &last);
    for (int32_t b = first; b < last; b++)
        set_block(job->rows, s->n_embd, job->hidden, s->n_embd, model->head + (int64_t)b * BLOCK * s->n_embd,
                  job->out + b * BLOCK, stride);
}

/* --- what native.py calls */

int32_t mychat_block(void) { return BLOCK; }

void mychat_free(struct model *model) {
    if (!model) return;
    atomic_store(&model->leaving, 1);
    next_round(model);
    for (int32_t n = 1; n < model->shape.threads; n++) pthread_join(model->helpers[n], NULL);
    pthread_mutex_destroy(&model->lock);
    pthread_cond_destroy(&model->wake);
    free(model->helpers);
    free(model->memory);
    free(model->normed);
    free(model->scores);
    free(model);
}

/* Takes the memory and the threads; the weights stay the caller's. NULL when there is not enough. */
struct model *mychat_make(const struct shape *shape, const struct layer *layers, const float *embedding,
                          const uint16_t *head, const float *norm, const float *cos, const float *signed_sin) {
    struct model *model = calloc(1, sizeof *model);
    if (!model) return NULL;
    const struct shape *s = shape;
    const int64_t T = s->most_rows, heads = (int64_t)s->n_head * s->head_dim, threads = s->threads;
    const int64_t x = T * padded(s->n_embd), qkv = T * padded((int32_t)heads + 2 * s->n_kv_head * s->head_dim);
    const int64_t ff = T * padded(s->n_ff), scores = (int64_t)ROWS * padded(s->context_length);
    model->shape = *shape;
    model->layers = layers;
    model->embedding = embedding;
    model->head = head;
    model->norm = norm;
    model->cos = cos;
    model->signed_sin = signed_sin;
    model->memory = calloc((size_t)(x + qkv + 2 * T * heads + ff + threads * (x + scores)), sizeof(float));
    model->normed = calloc((size_t)threads, sizeof(float *));
    model->scores = calloc((size_t)threads, sizeof(float *));
    model->helpers = calloc((size_t)threads, sizeof(pthread_t));
    pthread_mutex_init(&model->lock, NULL);
    pthread_cond_init(&model->wake, NULL);
    model->shape.threads = 1; /* those that run so far */
    if (!model->memory || !model->normed || !model->scores || !model->helpers) {
        mychat_free(model);
        return NULL;
    }
    model->x = model->memory;
    model->qkv = model->x + x;
    model->q = model->qkv + qkv;
    model->y = model->q + T * heads;
    model->ff = model->y + T * heads;
    for (int32_t n = 0; n < threads; n++) {
        model->normed[n] = model->ff + ff + n * (x + scores);
        model->scores[n] = model->normed[n] + x;
    }
    for (int32_t n = 1; n < threads; n++) {
        struct member *member = malloc(sizeof *member);
        if (!member) break;
        *member = (struct member){model, n};
        if (pthread_create(&model->helpers[n], NULL, help, member)) {
            free(member);
            break;
        }
        model->shape.threads = n + 1;
    }
    return model;
}

/* ids (rows) after `start` others; keys (layers, K, D, room), values (layers, K, room, D) -> out (rows, n_embd).
   -1 when an id is none, or there is no room. */
int32_t mychat_hidden(struct model *model, const int64_t *ids, int32_t rows, int32_t start, float *keys, float *values,
                      int32_t room, float *out) {
    const struct shape *s = &model->shape;
    if (rows > s->most_rows || start + rows > smaller(room, s->context_length) || room % BLOCK) return -1;
    for (int32_t t = 0; t < rows; t++)
        if (ids[t] < 0 || ids[t] >= s->vocab_size) return -1;
    model->job = (struct job){
        .ids = ids, .keys = keys, .values = values, .out = out, .rows = rows, .start = start, .room = room};
    run(model);
    return 0;
}

/* hidden (rows, n_embd) -> out (rows, vocab_size padded to blocks). */
void mychat_logits(struct model *model, const float *hidden, int32_t rows, float *out) {
    model->job = (struct job){.hidden = hidden, .out = out, .rows = rows};
    run(model);
}
