#include "edge_model.h"

/* The header, version 2. Numbers are little-endian. */
enum {
  MAGIC_AT = 0,         /* "EdgM" */
  VERSION_AT = 4,       /* 16 bits */
  HEADER_BYTES_AT = 6,  /* 16 bits: where the model begins */
  LENGTH_AT = 8,        /* bytes of the model */
  MODEL_CRC_AT = 12,    /* CRC-32 of these bytes */
  COUNTER_AT = 16,
  ARENA_AT = 20,
  INTERFACE_AT = 24,
  SHA256_AT = 28,
  THRESHOLD_AT = 60,    /* IEEE 754, 32 bits */
  HEADER_CRC_AT = 76,   /* CRC-32 of all before it; the 12 bytes before are 0 for now */
  HEADER_BYTES = 80
};

static uint32_t read_16(const unsigned char *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t read_32(const unsigned char *bytes) {
  return read_16(bytes) | read_16(bytes + 2) << 16;
}

static float read_float(const unsigned char *bytes) {
  union {
    uint32_t bits;
    float value;
  } number;
  number.bits = read_32(bytes);
  return number.value;
}

/* CRC-32 as in zlib, PNG and Ethernet: reflected polynomial 0xEDB88320. A table for four bits at a
 * time: 64 bytes of flash, and about twice as fast as going bit by bit. */
static uint32_t crc_32(const unsigned char *bytes, uint32_t length) {
  static const uint32_t table[16] = {
      0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
      0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
      0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
  uint32_t crc = 0xffffffffu;
  uint32_t i;
  for (i = 0; i < length; ++i) {
    crc ^= bytes[i];
    crc = crc >> 4 ^ table[crc & 15u];
    crc = crc >> 4 ^ table[crc & 15u];
  }
  return ~crc;
}

edge_model_t edge_model_find(const void *start, size_t size) {
  static const unsigned char magic[4] = {'E', 'd', 'g', 'M'};
  const unsigned char *image = (const unsigned char *)start;
  edge_model_t model;
  uint32_t header_bytes, length;
  int i;

  /* One by one: of an initializer, compilers make a call of memset(). */
  model.status = EDGE_MODEL_ABSENT;
  model.data = NULL;
  model.length = 0;
  model.counter = 0;
  model.arena_bytes = 0;
  model.interface_id = 0;
  model.rejection_threshold = 0.0f;
  model.sha256 = NULL;
  if ((uintptr_t)start % EDGE_MODEL_ALIGNMENT != 0) {
    model.status = EDGE_MODEL_MISALIGNED;
    return model;
  }
  /* NULL is what a failed mapping gives; no image lies where the vector table does. */
  if (image == NULL || size < HEADER_BYTES) return model;
  for (i = 0; i < 4; ++i) {
    if (image[MAGIC_AT + i] != magic[i]) return model;
  }
  if (read_32(image + HEADER_CRC_AT) != crc_32(image, HEADER_CRC_AT)) {
    model.status = EDGE_MODEL_HEADER_DAMAGED;
    return model;
  }
  header_bytes = read_16(image + HEADER_BYTES_AT);
  if (read_16(image + VERSION_AT) != 2 || header_bytes != HEADER_BYTES) {
    model.status = EDGE_MODEL_UNKNOWN_VERSION;
    return model;
  }
  length = read_32(image + LENGTH_AT);
  if (length > size - header_bytes) {
    model.status = EDGE_MODEL_TOO_LARGE;
    return model;
  }
  if (length == 0 || read_32(image + MODEL_CRC_AT) != crc_32(image + header_bytes, length)) {
    model.status = EDGE_MODEL_DAMAGED;
    return model;
  }
  model.status = EDGE_MODEL_OK;
  model.data = image + header_bytes;
  model.length = length;
  model.counter = read_32(image + COUNTER_AT);
  model.arena_bytes = read_32(image + ARENA_AT);
  model.interface_id = read_32(image + INTERFACE_AT);
  model.rejection_threshold = read_float(image + THRESHOLD_AT);
  model.sha256 = image + SHA256_AT;
  return model;
}

int edge_model_best(const edge_model_slot_t *slots, int count, uint32_t interface_id,
                    size_t arena_bytes, uint32_t failed, edge_model_t *model) {
  int best = -1, i;
  for (i = 0; i < count && i < 32; ++i) {
    edge_model_t found;
    if (failed >> i & 1u) continue;
    found = edge_model_find(slots[i].start, slots[i].size);
    if (found.status != EDGE_MODEL_OK || found.interface_id != interface_id ||
        found.arena_bytes > arena_bytes || (best >= 0 && found.counter <= model->counter)) {
      continue;
    }
    *model = found;
    best = i;
  }
  return best;
}
