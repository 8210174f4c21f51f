#pragma once
#include <libpq-fe.h>
#include <spawn.h>

/* glibc declares these two only for _GNU_SOURCE, which the Swift overlay does not set. The
   private cluster's keeper needs them: a session of its own, and none of our descriptors. */
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions,
                                                    int from);
static inline short plimsoll_spawn_set_session(void) { return 0x80; /* POSIX_SPAWN_SETSID */ }
