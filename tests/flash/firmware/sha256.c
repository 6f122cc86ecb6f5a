#include "sha256.h"

/* The fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u};

static uint32_t rotated(uint32_t word, int by) { return word >> by | word << (32 - by); }

static void add_block(uint32_t state[8], const unsigned char block[64]) {
  uint32_t words[64], work[8], first, second;
  int i;
  for (i = 0; i < 16; ++i) {
    words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | (uint32_t)block[4 * i + 3];
  }
  for (i = 16; i < 64; ++i) {
    const uint32_t a = words[i - 15], b = words[i - 2];
    words[i] = words[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + words[i - 7] +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
  }
  for (i = 0; i < 8; ++i) work[i] = state[i];
  for (i = 0; i < 64; ++i) {
    const uint32_t a = work[0], e = work[4];
    int j;
    first = work[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
            ((e & work[5]) ^ (~e & work[6])) + round_constants[i] + words[i];
    second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
             ((a & work[1]) ^ (a & work[2]) ^ (work[1] & work[2]));
    for (j = 7; j > 0; --j) work[j] = work[j - 1];
    work[4] += first;
    work[0] = first + second;
  }
  for (i = 0; i < 8; ++i) state[i] += work[i];
}

void sha256(const unsigned char *bytes, uint32_t length, unsigned char digest[32]) {
  /* The fractional parts of the square roots of the first 8 primes. */
  uint32_t state[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                       0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  unsigned char last[128] = {0};
  const uint32_t rest = length % 64, blocks = rest < 56 ? 1 : 2;
  const uint64_t bits = (uint64_t)length * 8;
  uint32_t at;
  int i;
  for (at = 0; at + 64 <= length; at += 64) add_block(state, bytes + at);
  for (at = 0; at < rest; ++at) last[at] = bytes[length - rest + at];
  last[rest] = 0x80;
  for (i = 0; i < 8; ++i) last[64 * blocks - 1 - (uint32_t)i] = (unsigned char)(bits >> 8 * i);
  for (at = 0; at < blocks; ++at) add_block(state, last + 64 * at);
  for (i = 0; i < 32; ++i) digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}
