/* A firmware with two slots for models: reports what it finds in each, and takes the newest that
 * it can use. Interface and arena of the firmware come from the compiler's command line. */

#include <stdio.h>

#include "edge_model.h"
#include "sha256.h"

#define SLOT_BYTES 0x40000u

extern unsigned char stack_top[];
void initialise_monitor_handles(void); /* newlib's, for printf by semihosting */
void reset(void);
int main(void);
void _exit(int status); /* of newlib; exit() would want the start files that are not here */

/* The addresses that the test gives to QEMU's loader. */
static const edge_model_slot_t slots[2] = {{(const void *)0x21000000u, SLOT_BYTES},
                                           {(const void *)0x21040000u, SLOT_BYTES}};

static void print_digest(const unsigned char *digest) {
  unsigned int i;
  for (i = 0; i < EDGE_MODEL_SHA256_BYTES; ++i) printf("%02x", digest[i]);
}

/* Stands for AllocateTensors() and the self-test: a model does not start if its SHA-256 is not the
 * stated one. */
static int starts(const edge_model_t *model) {
  unsigned char digest[EDGE_MODEL_SHA256_BYTES];
  unsigned int i;
  sha256(model->data, model->length, digest);
  for (i = 0; i < EDGE_MODEL_SHA256_BYTES; ++i) {
    if (digest[i] != model->sha256[i]) return 0;
  }
  return 1;
}

int main(void) {
  edge_model_t model;
  uint32_t failed = 0;
  int i, slot;
  for (i = 0; i < 2; ++i) {
    model = edge_model_find(slots[i].start, slots[i].size);
    printf("slot=%d status=%d", i, (int)model.status);
    if (model.status == EDGE_MODEL_OK) {
      unsigned char digest[EDGE_MODEL_SHA256_BYTES];
      sha256(model.data, model.length, digest);
      printf(" aligned=%d length=%lu counter=%lu arena=%lu interface=%lu threshold=%ld stated=",
             (uintptr_t)model.data % EDGE_MODEL_ALIGNMENT == 0, (unsigned long)model.length,
             (unsigned long)model.counter, (unsigned long)model.arena_bytes,
             (unsigned long)model.interface_id,
             (long)(model.rejection_threshold * 1000000.0f + 0.5f));
      print_digest(model.sha256);
      printf(" computed=");
      print_digest(digest);
    }
    printf("\n");
  }
  while ((slot = edge_model_best(slots, 2, FIRMWARE_INTERFACE_ID, FIRMWARE_ARENA_BYTES, failed,
                                 &model)) >= 0) {
    if (starts(&model)) break;
    failed |= 1u << slot;
  }
  printf("runs=%d\n", slot);
  return slot < 0;
}

void reset(void) {
  int status;
  initialise_monitor_handles();
  status = main();
  fflush(stdout);
  _exit(status);
}

typedef void (*handler_t)(void);
typedef struct vectors {
  const void *stack;
  handler_t reset;
} vectors_t;

__attribute__((section(".vectors"), used)) static const vectors_t vectors = {stack_top, reset};
