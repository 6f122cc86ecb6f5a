/* Damages an image in every way that has a single cause, and counts what the reader does not see.
 *
 * Each try gets memory of exactly its size, so that the address sanitizer notices a read beyond. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_model.h"

static edge_model_status_t status_of(const unsigned char *image, size_t size) {
  unsigned char *copy = (unsigned char *)malloc(size ? size : 1);
  edge_model_status_t status;
  memcpy(copy, image, size);
  status = edge_model_find(copy, size).status;
  free(copy);
  return status;
}

int main(int argc, char **argv) {
  static unsigned char image[1 << 20];
  unsigned long tried[7] = {0}, unseen = 0;
  FILE *file = fopen(argc > 1 ? argv[1] : "", "rb");
  size_t size, whole, i;
  if (file == NULL) return 2;
  size = fread(image, 1, sizeof(image), file);
  fclose(file);
  /* 80 bytes of header, then as many as its ninth to twelfth byte say: what is left is padding. */
  whole = 80 + (size_t)image[8] + ((size_t)image[9] << 8) + ((size_t)image[10] << 16);
  if (whole > size || status_of(image, size) != EDGE_MODEL_OK) return 3;
  if (status_of(image, whole) != EDGE_MODEL_OK) return 4;
  for (i = 0; i < whole; i += i < 128 ? 1 : 509) { /* cut short; at a prime step after a while */
    const edge_model_status_t status = status_of(image, i);
    ++tried[status];
    unseen += status == EDGE_MODEL_OK;
  }
  for (i = 0; i < whole * 8; i += i < 768 ? 1 : 1021) { /* one bit wrong */
    edge_model_status_t status;
    image[i / 8] ^= (unsigned char)(1u << i % 8);
    status = status_of(image, size);
    image[i / 8] ^= (unsigned char)(1u << i % 8);
    ++tried[status];
    unseen += status == EDGE_MODEL_OK;
  }
  for (i = 1; i < 16; ++i) { /* not where it should be */
    unsigned char *copy = (unsigned char *)malloc(size + i);
    memcpy(copy + i, image, size);
    ++tried[edge_model_find(copy + i, size).status];
    free(copy);
  }
  for (i = 0; i < 7; ++i) printf("%lu\n", tried[i]);
  printf("%lu unseen, null %d\n", unseen, (int)edge_model_find(NULL, size).status);
  return 0;
}
