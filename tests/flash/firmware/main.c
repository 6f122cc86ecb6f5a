/* A firmware with two slots for models: reports what it finds in each, and takes the newer. */

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
static const void *const slots[2] = {(const void *)0x21000000u, (const void *)0x21040000u};

static void print_digest(const unsigned char *digest) {
  unsigned int i;
  for (i = 0; i < EDGE_MODEL_SHA256_BYTES; ++i) printf("%02x", digest[i]);
}

int main(void) {
  int newest = -1, i;
  uint32_t counter = 0;
  for (i = 0; i < 2; ++i) {
    const edge_model_t model = edge_model_find(slots[i], SLOT_BYTES);
    printf("slot=%d status=%d", i, (int)model.status);
    if (model.status == EDGE_MODEL_OK) {
      unsigned char digest[EDGE_MODEL_SHA256_BYTES];
      sha256(model.data, model.length, digest);
      printf(" aligned=%d length=%lu counter=%lu arena=%lu interface=%lu stated=",
             (uintptr_t)model.data % EDGE_MODEL_ALIGNMENT == 0, (unsigned long)model.length,
             (unsigned long)model.counter, (unsigned long)model.arena_bytes,
             (unsigned long)model.interface_id);
      print_digest(model.sha256);
      printf(" computed=");
      print_digest(digest);
      if (newest < 0 || model.counter > counter) {
        newest = i;
        counter = model.counter;
      }
    }
    printf("\n");
  }
  printf("newest=%d\n", newest);
  return newest < 0;
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
