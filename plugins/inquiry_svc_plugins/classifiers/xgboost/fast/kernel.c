/* From texts to probabilities: what `features.py`, `linear.py`, `meanings.py`, `convolution.py`, `trees.py` and
   `model.py` compute, once more.

   Those files say what is computed and why. This is held to them by tests on every kind of text, and once more each
   time it is loaded. Sums are taken in numpy's order, so that scores are the same to the bit and no tree takes another
   branch. Nothing of CPython is used: plain C99 over tables that are the caller's, with room of its own for each thread. */

#include <stdlib.h>

#include "features.h"

#define LABELS 13
#define AXES 3
#define ROW 16 /* floats: one weight for each label, and at [LABELS] what the n-gram adds to the squared length; */
#define KNOWN (LABELS + 1) /* whether the corpus knows it, */
#define EVERYDAY (LABELS + 2) /* and whether it is that of a word of any mail */
#define WINDOW 5 /* as `convolution.py` says, and the next three */
#define FILTERS 128
#define ROW_OF_WORTH (WINDOW * FILTERS)
#define AROUND (WINDOW / 2)
#define NOTHING 0
#define MEAN_PARTS 32
#define LANES 16
#define SUMMED 32
#if SUMMED * (WINDOW * 127 + 254) > 32767
#error "the fits of so many windows have no room in 16 bits"
#endif
#define SHORT 2.0 /* as `temperatures.py` says */
#define LONG 4.7

typedef struct {
    float at_short, at_long;
} Temperatures;

typedef struct {
    const int32_t *columns; /* tree by tree, splits level by level */
    const float *thresholds;
    const float *leaves;
    int32_t splits, trees, labels;
    Temperatures temperatures;
} Forest;

/* No evidence at the one, enough at the other. */
typedef struct {
    double nothing, enough;
} Bounds;

typedef struct {
    Tables tables;
    const int32_t *rows;         /* of each bucket its row of the table */
    const float *table;
    const int32_t *meaning_rows; /* of each bucket of a single word its row among the meanings */
    const float *meanings;       /* as the table, but that at [LABELS] is the word's amount, and after it nothing */
    const int32_t *token_rows;   /* of each bucket of a single word or mark its row among what tokens are worth */
    const int8_t *worth;         /* to each filter in each place of a window */
    const int16_t *filter_bias;
    const int16_t *filter_out;   /* what each label gets of each filter's best window, then of its mean */
    const float *filter_scale;
    const float *bias;
    double character_share;
    Bounds spelling, amount, everyday_share, digits_share;
    double listed_from;
    Forest forests[AXES];
} Model;

/* How many buckets a family has beside its first, how many are known, and how many are everyday ones. */
typedef struct {
    double all, known, everyday;
} Count;

/* What this was built for. The caller compares, since it might have been built from other files than it is used with. */
const int32_t inquiry_shape[] = {sizeof(Model), BUCKET_BITS, LABELS, ROW, SURFACE, LISTS, WINDOW, FILTERS, MEAN_PARTS};

/* The linear layer */

static inline void add_row(float *restrict sums, const float *restrict row)
{
    for (int column = 0; column < ROW; column++)
        sums[column] += row[column];
}

/* In numpy's order: more than 128 in halves, the rest in eight lanes side by side. */
static void add_up(const float *table, const uint32_t *rows, size_t count, float *sums)
{
    if (count > 128) {
        float second[ROW];
        size_t half = count / 2 - count / 2 % 8;
        add_up(table, rows, half, sums);
        add_up(table, rows + half, count - half, second);
        add_row(sums, second);
        return;
    }
    size_t at = 0;
    memset(sums, 0, ROW * sizeof *sums);
    if (count >= 8) {
        float lanes[8][ROW];
        for (; at < 8; at++)
            memcpy(lanes[at], table + (size_t)rows[at] * ROW, sizeof lanes[at]);
        for (; at < count - count % 8; at++)
            add_row(lanes[at % 8], table + (size_t)rows[at] * ROW);
        for (int step = 1; step < 8; step *= 2)
            for (int lane = 0; lane < 8; lane += 2 * step)
                add_row(lanes[lane], lanes[lane + step]);
        memcpy(sums, lanes[0], sizeof lanes[0]);
    }
    for (; at < count; at++)
        add_row(sums, table + (size_t)rows[at] * ROW);
}

/* The sums of the rows of all buckets in the map, and how many they are: at least one. `room` is for them. */
static size_t add_family(const int32_t *rows, const float *table, Map *map, uint32_t *room, float *sums)
{
    size_t count = take_out(map, room);
    for (size_t at = 0; at < count; at++) {
        room[at] = (uint32_t)rows[room[at]];
        __builtin_prefetch(table + (size_t)room[at] * ROW);
    }
    add_up(table, room + 1, count - 1, sums);
    add_row(sums, table + (size_t)room[0] * ROW);
    return count;
}

static Count family_scores(const int32_t *rows, const float *table, Map *map, uint32_t *room, float *scores)
{
    float sums[ROW];
    size_t count = add_family(rows, table, map, room, sums);
    float length = sqrtf(sums[LABELS]);
    for (int label = 0; label < LABELS; label++)
        scores[label] = sums[label] / length;
    return (Count){(double)(count - 1), sums[KNOWN], sums[EVERYDAY]};
}

/* By what the words mean. Gives how many different words there are, and one. */
static size_t meaning_scores(const Model *model, Map *map, uint32_t *room, float *scores)
{
    float sums[ROW];
    size_t count = add_family(model->meaning_rows, model->meanings, map, room, sums);
    for (int label = 0; label < LABELS; label++)
        scores[label] = sums[label] / sums[LABELS];
    return count;
}

/* The convolution */

/* Of LANES filters, from `first` on. */
static void pool_lanes(const Model *model, const uint32_t *rows, size_t length, int first, int16_t *best, int32_t *sums)
{
    const int8_t *worth = model->worth + first;
    int16_t bias[LANES], most[LANES] = {0};
    memcpy(bias, model->filter_bias + first, sizeof bias);
    for (size_t at = 0; at < length;) {
        int16_t some[LANES] = {0};
        for (size_t end = at + SUMMED < length ? at + SUMMED : length; at < end; at++) {
            const int8_t *own[WINDOW];
            for (int place = 0; place < WINDOW; place++)
                own[place] = worth + (size_t)rows[at + (size_t)place] * ROW_OF_WORTH + place * FILTERS;
            for (int lane = 0; lane < LANES; lane++) {
                int16_t fits = bias[lane];
                for (int place = 0; place < WINDOW; place++)
                    fits = (int16_t)(fits + own[place][lane]);
                fits = fits > 0 ? fits : 0;
                most[lane] = fits > most[lane] ? fits : most[lane];
                some[lane] = (int16_t)(some[lane] + fits);
            }
        }
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += some[lane];
    }
    memcpy(best, most, sizeof most);
}

/* How well the best window of the text fits each filter, and, in parts, how well all do in the mean. */
static void pool(const Model *model, const Features *features, uint32_t *room, int16_t *best, int16_t *mean)
{
    int32_t sums[FILTERS] = {0};
    size_t length = features->length;
    for (size_t at = 0; at < AROUND; at++)
        room[at] = room[AROUND + length + at] = NOTHING;
    for (size_t at = 0; at < length; at++)
        room[AROUND + at] = (uint32_t)model->token_rows[features->tokens[at]];
    for (int first = 0; first < FILTERS; first += LANES)
        pool_lanes(model, room, length, first, best + first, sums + first);
    float part = (float)MEAN_PARTS / (float)(length > 1 ? length : 1);
    for (int filter = 0; filter < FILTERS; filter++)
        mean[filter] = (int16_t)rintf((float)sums[filter] * part);
}

static inline float out_of(const int16_t *pooled, const int16_t *out, float scale)
{
    int32_t sum = 0;
    for (int filter = 0; filter < FILTERS; filter++)
        sum += pooled[filter] * out[filter];
    return (float)sum * scale;
}

static void convolution_scores(const Model *model, const Features *features, uint32_t *room, float *scores)
{
    int16_t best[FILTERS], mean[FILTERS];
    pool(model, features, room, best, mean);
    for (int label = 0; label < LABELS; label++) {
        float by_best = out_of(best, model->filter_out + label * FILTERS, model->filter_scale[label]);
        float by_mean = out_of(mean, model->filter_out + (LABELS + label) * FILTERS, model->filter_scale[LABELS + label]);
        scores[label] = by_best + by_mean;
    }
}

/* The evidence, as `measure` in `evidence.py` */

static inline double least(double one, double other)
{
    return one < other ? one : other;
}

static inline double ramp(const Bounds *bounds, double value)
{
    return (value - bounds->nothing) / (bounds->enough - bounds->nothing);
}

static double measure(const Model *model, Count runs, Count words, double digits_share)
{
    double spelling = runs.all > 0 ? runs.known / runs.all : 1.0;
    double found = least(ramp(&model->spelling, spelling), ramp(&model->amount, words.known));
    if (words.all >= model->listed_from)
        found = least(found, ramp(&model->everyday_share, words.everyday / words.all));
    found = least(found, least(1.0 - ramp(&model->digits_share, digits_share), 1.0));
    return found > 0.0 ? found : 0.0;
}

/* Gives the evidence. */
static double read_scores(const Model *model, Features *features, uint32_t *room, float *scores, float *log_words)
{
    float characters[LABELS], words[LABELS], meanings[LABELS], windows[LABELS], share = (float)model->character_share;
    Count runs = family_scores(model->rows, model->table, &features->characters, room, characters);
    Count found = family_scores(model->rows + FAMILY_BUCKETS, model->table, &features->words, room, words);
    *log_words = (float)log((double)meaning_scores(model, &features->single_words, room, meanings));
    convolution_scores(model, features, room, windows);
    for (int label = 0; label < LABELS; label++) {
        float score = characters[label] * share + words[label] + meanings[label] + windows[label] + model->bias[label];
        scores[label] = rintf(score * 1024.0f) / 1024.0f;
    }
    return measure(model, runs, found, (double)features->surface[DIGITS_SHARE]);
}

/* The trees */

static inline void add_leaves(const Forest *forest, int32_t splits, const float *inputs, float *margins)
{
    const int32_t *columns = forest->columns, labels = forest->labels;
    const float *thresholds = forest->thresholds, *leaves = forest->leaves;
    for (int32_t left = forest->trees; left > 0; left -= labels)
        for (int32_t label = 0; label < labels; label++) {
            size_t node = 0;
            for (int32_t passed = 0; passed < splits; passed = 2 * passed + 1)
                node = 2 * node + 1 + (inputs[columns[node]] >= thresholds[node]);
            margins[label] += leaves[node - (size_t)splits];
            columns += splits;
            thresholds += splits;
            leaves += splits + 1;
        }
}

static float temperature_of(Temperatures temperatures, float log_words)
{
    float share = (log_words - (float)SHORT) / (float)(LONG - SHORT);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return temperatures.at_short + (temperatures.at_long - temperatures.at_short) * share;
}

/* `scores` are those of the axis's labels, among the inputs: the trees put them right. */
static void ask_trees(const Forest *forest, const float *inputs, const float *scores, float log_words,
                      double *probabilities)
{
    float margins[LABELS] = {0}, highest = -INFINITY, temperature = temperature_of(forest->temperatures, log_words);
    if (forest->splits == 3) /* as shipped: known to the compiler, a text of 150 characters takes a fifth less */
        add_leaves(forest, 3, inputs, margins);
    else
        add_leaves(forest, forest->splits, inputs, margins);
    for (int32_t label = 0; label < forest->labels; label++) {
        margins[label] = (margins[label] + scores[label]) / temperature;
        highest = margins[label] > highest ? margins[label] : highest;
    }
    double sum = 0.0;
    for (int32_t label = 0; label < forest->labels; label++)
        sum += probabilities[label] = exp((double)margins[label] - (double)highest);
    for (int32_t label = 0; label < forest->labels; label++)
        probabilities[label] /= sum;
}

/* The door */

static size_t length_of(const uint16_t *units)
{
    size_t count = 0;
    while (units[count])
        count++;
    return count;
}

static double read_text(const Model *model, Features *features, uint32_t *room, double *probabilities)
{
    float inputs[LABELS + SURFACE], log_words;
    double evidence = read_scores(model, features, room, inputs, &log_words);
    memcpy(inputs + LABELS, features->surface, sizeof features->surface);
    const float *scores = inputs;
    for (int axis = 0; axis < AXES; axis++) {
        ask_trees(&model->forests[axis], inputs, scores, log_words, probabilities);
        scores += model->forests[axis].labels;
        probabilities += model->forests[axis].labels;
    }
    return evidence;
}

/* Of this thread. Empty between calls: to clear 200 KB for each would cost more than to read a short text. Not inlined,
   or the thread's own address is asked for again for every bucket. */
__attribute__((noinline)) static Features *own_features(void)
{
    static __thread Features own;
    return &own;
}

/* Write LABELS probabilities for each text, and after all of those the evidence for each. `units` is `length` units of
   UTF-16: of each text the subject, a NUL, the body, a NUL. Returns 0 when there is no memory. */
int inquiry_probabilities(const Model *model, const uint16_t *units, int64_t length, int64_t texts, double *found)
{
    Features *features = own_features();
    double *evidence = found + texts * LABELS;
    size_t size = (size_t)length + 3;
    uint32_t *numbers = malloc(size * (5 * sizeof *numbers + sizeof *units));
    int done = numbers != NULL;
    if (done) {
        uint32_t *room = numbers; /* three buckets a unit and the first */
        features->folded = numbers + 3 * size;
        features->tokens = numbers + 4 * size;
        features->units = (uint16_t *)(numbers + 5 * size);
        for (; texts > 0; texts--, found += LABELS) {
            size_t subject = length_of(units), body = length_of(units + subject + 1), count = subject + 1 + body;
            memcpy(features->units, units, count * sizeof *units);
            features->units[subject] = '\n';
            read_features(&model->tables, features, count, subject > 0);
            *evidence++ = read_text(model, features, room, found);
            units += count + 1;
        }
    }
    free(numbers);
    return done;
}
