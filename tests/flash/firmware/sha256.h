#ifndef SHA256_H_
#define SHA256_H_

#include <stdint.h>

/* SHA-256 as FIPS 180-4 describes it, for the test to compare with Python's. */
void sha256(const unsigned char *bytes, uint32_t length, unsigned char digest[32]);

#endif
