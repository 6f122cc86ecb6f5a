#ifndef EDGE_MODEL_H_
#define EDGE_MODEL_H_

/* Finds the model in a flash image that "python -m flash mcu --image" wrote.
 *
 * C99, no allocation, nothing of the C library but stdint.h and stddef.h. Every byte goes through a
 * CRC-32 before the model is called whole, so call it once after a reset, not for each picture.
 *
 *   static const edge_model_slot_t slots[2] = {{(const void *)0x10100000, 0x40000},
 *                                              {(const void *)0x10140000, 0x40000}};
 *   edge_model_t model;
 *   uint32_t failed = 0;
 *   int slot;
 *   while ((slot = edge_model_best(slots, 2, DIGITS_INT8_INTERFACE_ID, sizeof(arena), failed,
 *                                  &model)) >= 0) {
 *     run(&model);  // returns only if the model does not start
 *     failed |= 1u << slot;
 *   }
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an image and the model in it are aligned to, in bytes. */
#define EDGE_MODEL_ALIGNMENT 16u
#define EDGE_MODEL_SHA256_BYTES 32u

/* The numbers stay what they are: a device may report them. */
typedef enum edge_model_status {
  EDGE_MODEL_OK = 0,
  EDGE_MODEL_MISALIGNED = 1,      /* start is no multiple of 16 */
  EDGE_MODEL_ABSENT = 2,          /* no image begins here: erased flash, or something else */
  EDGE_MODEL_HEADER_DAMAGED = 3,  /* the header's CRC-32 does not match */
  EDGE_MODEL_UNKNOWN_VERSION = 4, /* a format that this reader does not know */
  EDGE_MODEL_TOO_LARGE = 5,       /* the image is longer than the region */
  EDGE_MODEL_DAMAGED = 6          /* the model's CRC-32 does not match: a write was cut short? */
} edge_model_status_t;

/* All fields but status are zero unless status is EDGE_MODEL_OK. */
typedef struct edge_model {
  edge_model_status_t status;
  const unsigned char *data;    /* the flatbuffer where it lies, aligned to 16 bytes */
  uint32_t length;              /* its bytes */
  uint32_t counter;             /* the model's version; later models have larger ones */
  uint32_t arena_bytes;         /* what the tensor arena must have, with its margin */
  uint32_t interface_id;        /* compare with NAME_INTERFACE_ID of NAME_model.h: the same
                                   labels, and pixels prepared in the same way */
  float rejection_threshold;    /* an answer whose probability is below this is no answer; 0 where
                                   the model sets no threshold */
  const unsigned char *sha256;  /* of the flatbuffer, EDGE_MODEL_SHA256_BYTES bytes */
} edge_model_t;

/* Looks at the first bytes of a region of memory, which must be readable through a pointer.
 *
 * start: where the image was written, a multiple of 16.
 * size:  bytes of the region; nothing beyond them is read.
 */
edge_model_t edge_model_find(const void *start, size_t size);

/* A place for one image. */
typedef struct edge_model_slot {
  const void *start; /* as for edge_model_find() */
  size_t size;
} edge_model_slot_t;

/* The newest model that this firmware can use: whole, of its interface, and content with its arena.
 * Of two with the same counter the first is taken.
 *
 * slots, count: where images may lie; at most 32 places.
 * interface_id: NAME_INTERFACE_ID of the model that the firmware was built with.
 * arena_bytes:  what the firmware has for the tensor arena.
 * failed:       bit n set: not slot n, whose model was tried and did not start.
 * model:        receives the model, and is left alone where there is none. What is wrong with a
 *               slot, edge_model_find() tells.
 *
 * Returns the slot's number, or -1 where no slot is left.
 */
int edge_model_best(const edge_model_slot_t *slots, int count, uint32_t interface_id,
                    size_t arena_bytes, uint32_t failed, edge_model_t *model);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_MODEL_H_ */
