// dlfcn.h and curl.h's functions as functions, not as the macros that check their arguments.
#define CURL_DISABLE_TYPECHECK
#include "ccurl.h"
#include <dlfcn.h>
#include <pthread.h>

// libcurl comes with a dozen libraries of its own. It is loaded when it is first needed, not with
// the program: jobs that ask no node never load it, and the others on a second thread, while they
// wait for the database. The functions below stand in for libcurl's and pass every call on.

#define FUNCTIONS(RETURNS, RETURNS_NOTHING) \
  RETURNS(CURLcode, CURLE_FAILED_INIT, curl_global_init, (long flags), (flags)) \
  RETURNS(CURL *, NULL, curl_easy_init, (void), ()) \
  RETURNS(const char *, NULL, curl_easy_strerror, (CURLcode code), (code)) \
  RETURNS_NOTHING(curl_easy_reset, (CURL *handle), (handle)) \
  RETURNS_NOTHING(curl_easy_cleanup, (CURL *handle), (handle)) \
  RETURNS(struct curl_slist *, NULL, curl_slist_append, \
          (struct curl_slist *list, const char *text), (list, text)) \
  RETURNS_NOTHING(curl_slist_free_all, (struct curl_slist *list), (list)) \
  RETURNS(CURLM *, NULL, curl_multi_init, (void), ()) \
  RETURNS(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_cleanup, (CURLM *multi), (multi)) \
  RETURNS(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_add_handle, \
          (CURLM *multi, CURL *handle), (multi, handle)) \
  RETURNS(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_remove_handle, \
          (CURLM *multi, CURL *handle), (multi, handle)) \
  RETURNS(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_perform, \
          (CURLM *multi, int *running), (multi, running)) \
  RETURNS(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_poll, \
          (CURLM *multi, struct curl_waitfd waits[], unsigned int count, int limit, int *ready), \
          (multi, waits, count, limit, ready)) \
  RETURNS(CURLMsg *, NULL, curl_multi_info_read, (CURLM *multi, int *left), (multi, left))

static struct {
#define MEMBER(type, failure, name, parameters, arguments) type(*name) parameters;
#define MEMBER_OF_NOTHING(name, parameters, arguments) void(*name) parameters;
  FUNCTIONS(MEMBER, MEMBER_OF_NOTHING)
  CURLcode (*curl_easy_setopt)(CURL *, CURLoption, ...);
  CURLcode (*curl_easy_getinfo)(CURL *, CURLINFO, ...);
  CURLMcode (*curl_multi_setopt)(CURLM *, CURLMoption, ...);
} loaded;

// NULL when every function was found.
static const char *problem;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *find(void *library, const char *name) {
  void *function = dlsym(library, name);
  if (!function) problem = "libcurl is too old";
  return function;
}

static void load(void) {
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    problem = "libcurl.so.4 is not installed or cannot be loaded";
    return;
  }
#define FIND(type, failure, name, parameters, arguments) *(void **)&loaded.name = find(library, #name);
#define FIND_OF_NOTHING(name, parameters, arguments) *(void **)&loaded.name = find(library, #name);
  FUNCTIONS(FIND, FIND_OF_NOTHING)
  *(void **)&loaded.curl_easy_setopt = find(library, "curl_easy_setopt");
  *(void **)&loaded.curl_easy_getinfo = find(library, "curl_easy_getinfo");
  *(void **)&loaded.curl_multi_setopt = find(library, "curl_multi_setopt");
}

const char *ccurl_problem(void) {
  pthread_once(&once, load);
  return problem;
}

#define PASS_ON(type, failure, name, parameters, arguments) \
  type name parameters { return ccurl_problem() ? failure : loaded.name arguments; }
#define PASS_ON_NOTHING(name, parameters, arguments) \
  void name parameters { if (!ccurl_problem()) loaded.name arguments; }
FUNCTIONS(PASS_ON, PASS_ON_NOTHING)

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, value);
}

CURLcode ccurl_set_size(CURL *handle, CURLoption option, curl_off_t value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, value);
}

CURLcode ccurl_set_text(CURL *handle, CURLoption option, const char *value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, value);
}

CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, value);
}

CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, value);
}

CURLcode ccurl_set_receive(CURL *handle, CURLoption option, ccurl_receive receive) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_setopt(handle, option, receive);
}

CURLcode ccurl_get_long(CURL *handle, CURLINFO info, long *value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_getinfo(handle, info, value);
}

CURLcode ccurl_get_pointer(CURL *handle, CURLINFO info, void **value) {
  return ccurl_problem() ? CURLE_FAILED_INIT : loaded.curl_easy_getinfo(handle, info, value);
}

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return ccurl_problem() ? CURLM_INTERNAL_ERROR : loaded.curl_multi_setopt(multi, option, value);
}

CURLcode ccurl_message_result(const CURLMsg *message) { return message->data.result; }
