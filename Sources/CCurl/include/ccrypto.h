#pragma once
#include <stddef.h>

// The few functions of OpenSSL's libcrypto that messages are signed with. It is loaded at the first
// call, as libcurl, which brings it along. All return a length, and -1 where it cannot be loaded or
// refuses.

// HMAC with SHA-256; `out` takes 32 bytes.
int ccrypto_hmac_sha256(const unsigned char *key, size_t key_length, const unsigned char *message,
                        size_t message_length, unsigned char *out);

// Base64 with padding, and a zero byte at the end; `out` takes (length + 2) / 3 * 4 + 1 bytes.
int ccrypto_encode_base64(const unsigned char *bytes, size_t length, unsigned char *out);

// The bytes of padded Base64, of which the padding counts as zeros; `out` takes length / 4 * 3 bytes.
int ccrypto_decode_base64(const unsigned char *text, size_t length, unsigned char *out);
