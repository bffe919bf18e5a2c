// The memory accounts of connections and of what waits for them.
#pragma once

#include "base/memory_account.h"

namespace kalam::server {

/// Children of `connections`. Thread-safety: as MemoryAccount.
struct ConnectionAccounts {
  explicit ConnectionAccounts(MemoryAccount& parent)
      : sessions(parent.Child("sessions")),
        read(parent.Child("read")),
        write(parent.Child("write")),
        queue(parent.Child("queue")),
        request_bodies(parent.Child("request_bodies")) {}
  MemoryAccount& sessions;        // the objects of open connections, TLS state included
  MemoryAccount& read;            // fronts of messages that are not complete
  MemoryAccount& write;           // bytes that sockets have not taken
  MemoryAccount& queue;           // commits that wait for a core
  MemoryAccount& request_bodies;  // HTTP bodies from a certain size on
};

}  // namespace kalam::server
