#include "ccrypto.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>

static struct {
  const void *(*EVP_sha256)(void);
  unsigned char *(*HMAC)(const void *digest, const void *key, int key_length,
                         const unsigned char *message, size_t message_length, unsigned char *out,
                         unsigned int *out_length);
  int (*EVP_EncodeBlock)(unsigned char *out, const unsigned char *bytes, int length);
  int (*EVP_DecodeBlock)(unsigned char *out, const unsigned char *text, int length);
} crypto;

static int is_loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  *(void **)&crypto.EVP_sha256 = dlsym(library, "EVP_sha256");
  *(void **)&crypto.HMAC = dlsym(library, "HMAC");
  *(void **)&crypto.EVP_EncodeBlock = dlsym(library, "EVP_EncodeBlock");
  *(void **)&crypto.EVP_DecodeBlock = dlsym(library, "EVP_DecodeBlock");
  is_loaded = crypto.EVP_sha256 && crypto.HMAC && crypto.EVP_EncodeBlock && crypto.EVP_DecodeBlock;
}

static int can_take(size_t length) {
  pthread_once(&once, load);
  return is_loaded && length <= INT_MAX / 2;
}

int ccrypto_hmac_sha256(const unsigned char *key, size_t key_length, const unsigned char *message,
                        size_t message_length, unsigned char *out) {
  unsigned int length = 0;
  if (!can_take(key_length)) return -1;
  unsigned char *done = crypto.HMAC(crypto.EVP_sha256(), key, (int)key_length, message,
                                    message_length, out, &length);
  return done && length == 32 ? 32 : -1;
}

int ccrypto_encode_base64(const unsigned char *bytes, size_t length, unsigned char *out) {
  return can_take(length) ? crypto.EVP_EncodeBlock(out, bytes, (int)length) : -1;
}

int ccrypto_decode_base64(const unsigned char *text, size_t length, unsigned char *out) {
  return can_take(length) ? crypto.EVP_DecodeBlock(out, text, (int)length) : -1;
}
