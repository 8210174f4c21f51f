#pragma once
#include "ccrypto.h"
#include <curl/curl.h>

// libcurl is loaded at the first call of one of its functions. Why it could not be: NULL when it
// could; until then every function fails.
const char *ccurl_problem(void);

// curl_easy_setopt, curl_easy_getinfo and curl_multi_setopt are variadic, and Swift cannot
// call variadic C functions: one function per argument type stands in for them.

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_size(CURL *handle, CURLoption option, curl_off_t value);
CURLcode ccurl_set_text(CURL *handle, CURLoption option, const char *value);
CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value);
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);

typedef size_t (*ccurl_receive)(char *bytes, size_t size, size_t count, void *context);
CURLcode ccurl_set_receive(CURL *handle, CURLoption option, ccurl_receive receive);

CURLcode ccurl_get_long(CURL *handle, CURLINFO info, long *value);
CURLcode ccurl_get_pointer(CURL *handle, CURLINFO info, void **value);

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value);

// The result of a finished transfer; CURLMsg keeps it in a union.
CURLcode ccurl_message_result(const CURLMsg *message);
