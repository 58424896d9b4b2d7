/* Token ids of the prompts that examples/models/reference.json was measured with, so that the
 * examples need no tokenizer. 1 is the beginning of a sequence. */
#ifndef MOXIE_EXAMPLE_PROMPTS_H
#define MOXIE_EXAMPLE_PROMPTS_H

#include <stdint.h>

/* "And it came to pass in those days, that" */
static const int32_t prompt_kjv[] = {1, 381, 336, 769, 291, 851, 289, 758, 1047, 1965, 313};
/* "Captain Ahab stood upon the quarter-deck, and" */
static const int32_t prompt_moby[] = {1, 1669, 1042, 1735, 535, 263, 673, 293, 400, 1976, 1956, 347, 1969, 1965, 280};
/* "My fellow Americans, tonight" */
static const int32_t prompt_sotu[] = {1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415};
/* "hacker\n /hak'er/, n.\n\n    1. A person who" */
static const int32_t prompt_jargon[] = {1,   1476, 13, 1945, 2006, 271,  1969, 1978, 270,  927,
                                        298, 1967, 13, 13,   292,  1991, 1967, 315,  1317, 568};

#endif
