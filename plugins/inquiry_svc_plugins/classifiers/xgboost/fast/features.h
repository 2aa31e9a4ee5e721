/* What `features.py` makes of a text: the buckets of its n-grams, its surface counts.

   The n-grams are bits in a map of all buckets of their family. Read from end to end a map gives each bucket once and
   in order, for which the reference sorts; it is emptied on the way, for the next text. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BUCKET_BITS 19
#define FAMILY_BUCKETS (1u << BUCKET_BITS)
#define MAP_WORDS (FAMILY_BUCKETS / 64)
#define MULTIPLIER 0x9E3779B1u
#define LISTS 5
#define SURFACE (7 + LISTS)
#define DIGITS_SHARE 6 /* its place among them */
#define SPACE 0x20

enum { BLANK, INK, BANG, QUERY, LETTER, CAPITAL, DIGIT, DROPPED, KINDS };

typedef struct {
    const uint8_t *kinds; /* of each UTF-16 unit, as the next two */
    const uint16_t *folded;
    const uint8_t *whitespace;
    const uint32_t *powers;
    const uint8_t *word_lists; /* of each bucket of a word */
    int64_t last_power;
} Tables;

typedef struct {
    uint64_t occupied[MAP_WORDS / 64]; /* which words of the map are not empty */
    uint64_t words[MAP_WORDS];
} Map;

/* Of one text. The three arrays have room for three units more than it has. */
typedef struct {
    Map characters, words, single_words; /* the last without pairs */
    float surface[SURFACE];
    uint16_t *units;
    uint32_t *folded; /* with a space at both ends */
    uint32_t *tokens; /* the buckets of its words and marks, in order, */
    size_t length;    /* and how many they are */
} Features;

/* Maps of buckets */

static inline void add(Map *map, uint32_t bucket, uint64_t wanted)
{
    map->words[bucket >> 6] |= wanted << (bucket & 63);
    map->occupied[bucket >> 12] |= wanted << ((bucket >> 6) & 63);
}

static inline uint32_t mix(uint32_t hash)
{
    hash ^= hash >> 15;
    hash *= 0x85EBCA6Bu;
    hash ^= hash >> 13;
    hash *= 0xC2B2AE35u;
    return hash >> (32 - BUCKET_BITS);
}

/* Empty the map into `buckets`, ascending, and return how many they are. */
static inline size_t take_out(Map *map, uint32_t *buckets)
{
    size_t count = 0;
    for (uint32_t high = 0; high < MAP_WORDS / 64; high++) {
        for (uint64_t left = map->occupied[high]; left; left &= left - 1) {
            uint32_t word = high * 64 + (uint32_t)__builtin_ctzll(left);
            for (uint64_t bits = map->words[word]; bits; bits &= bits - 1)
                buckets[count++] = word * 64 + (uint32_t)__builtin_ctzll(bits);
            map->words[word] = 0;
        }
        map->occupied[high] = 0;
    }
    return count;
}

/* Addresses */

static int starts_web(const uint16_t *units, size_t count)
{
    return count > 3 && units[0] == 'w' && units[1] == 'w' && units[2] == 'w' && units[3] == '.';
}

static int is_scheme_end(const uint16_t *units, size_t count)
{
    return count > 2 && units[0] == ':' && units[1] == '/' && units[2] == '/';
}

static int holds_address(const uint16_t *units, size_t count)
{
    for (; count; units++, count--)
        if (*units == '@' || is_scheme_end(units, count) || starts_web(units, count))
            return 1;
    return 0;
}

/* What stands for the word if it is an address, else 0. */
static uint16_t mark_of(const uint16_t *word, size_t count)
{
    int is_web = starts_web(word, count);
    for (; count; word++, count--) {
        if (*word == '@')
            return 0xE000;
        is_web |= is_scheme_end(word, count);
    }
    return is_web ? 0xE001 : 0;
}

/* One unit for each address, one space between words. In place; returns how many units are left. */
static size_t mask_addresses(const uint8_t *whitespace, uint16_t *units, size_t count)
{
    size_t kept = 0;
    for (size_t at = 0, start; at < count;) {
        for (start = at; at < count && !whitespace[units[at]]; at++)
            ;
        size_t length = at++ - start;
        if (!length)
            continue;
        if (kept)
            units[kept++] = SPACE;
        uint16_t mark = mark_of(units + start, length);
        if (mark) {
            units[kept++] = mark;
        } else {
            memmove(units + kept, units + start, length * sizeof *units);
            kept += length;
        }
    }
    return kept;
}

/* Words and characters */

/* Fold the text, gather its words and pairs of words, count its surface; returns how many units are left. */
static size_t read_words(const Tables *tables, Features *features, size_t count, int has_subject)
{
    uint32_t kinds[KINDS] = {0}, lists[LISTS + 1] = {0};
    uint32_t hash = 0, previous = 0, words = 0, *folded = features->folded;
    int64_t place = -1; /* in a word; -1 between words */
    size_t kept = 0, length = 0;
    folded[0] = SPACE;
    features->units[count] = SPACE; /* ends the last word */
    for (size_t at = 0; at <= count; at++) {
        uint16_t unit = features->units[at];
        uint8_t kind = tables->kinds[unit];
        if (kind == DROPPED)
            continue;
        folded[++kept] = tables->folded[unit];
        kinds[kind]++;
        if (kind >= LETTER) {
            place += place < tables->last_power;
            hash += folded[kept] * tables->powers[place];
            continue;
        }
        if (place >= 0) {
            uint32_t bucket = mix(hash);
            add(&features->words, bucket, 1);
            add(&features->single_words, bucket, 1);
            lists[tables->word_lists[bucket]]++;
            features->tokens[length++] = bucket;
            if (words++)
                add(&features->words, mix(previous * MULTIPLIER + hash), 1);
            previous = hash;
            hash = 0;
            place = -1;
        }
        if (kind > BLANK)
            features->tokens[length++] = mix(folded[kept] * tables->powers[0]);
    }
    features->length = length;
    float *surface = features->surface;
    surface[0] = (float)log1p((double)kept);
    surface[1] = (float)log1p((double)words);
    surface[2] = (float)has_subject;
    surface[3] = (float)(kinds[BANG] < 5 ? kinds[BANG] : 5);
    surface[4] = (float)(kinds[QUERY] < 5 ? kinds[QUERY] : 5);
    surface[5] = (float)((double)kinds[CAPITAL] / (double)kept);
    surface[DIGITS_SHARE] = (float)((double)kinds[DIGIT] / (double)kept);
    for (int list = 0; list < LISTS; list++)
        surface[7 + list] = (float)(lists[list + 1] < 10 ? lists[list + 1] : 10);
    return kept - 1;
}

/* Gather the runs of 3, 4 and 5 units without a space inside; their ends may be spaces. No run that counts goes beyond
   the space after the last unit, but what stands there is hashed. */
static void read_characters(Features *features, size_t count)
{
    uint32_t *folded = features->folded;
    folded[count + 2] = folded[count + 3] = SPACE;
    for (const uint32_t *unit = folded; unit < folded + count; unit++) {
        uint32_t hash = (unit[0] * MULTIPLIER + unit[1]) * MULTIPLIER + unit[2];
        uint64_t inked = unit[1] != SPACE;
        add(&features->characters, mix(hash), inked);
        hash = hash * MULTIPLIER + unit[3];
        inked &= unit[2] != SPACE;
        add(&features->characters, mix(hash), inked);
        hash = hash * MULTIPLIER + unit[4];
        inked &= unit[3] != SPACE;
        add(&features->characters, mix(hash), inked);
    }
}

/* Of the text in `features->units`. Each family has its first bucket, whatever the text. */
static void read_features(const Tables *tables, Features *features, size_t count, int has_subject)
{
    if (holds_address(features->units, count))
        count = mask_addresses(tables->whitespace, features->units, count);
    add(&features->characters, 0, 1);
    add(&features->words, 0, 1);
    add(&features->single_words, 0, 1);
    count = read_words(tables, features, count, has_subject);
    read_characters(features, count);
}
