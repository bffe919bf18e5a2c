// The composition: every layer below opened in order over one data directory, and closed in the
// reverse one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/memory_account.h"
#include "base/status.h"
#include "server/listener.h"
#include "server/memory_plan.h"
#include "server/server_context.h"
#include "server/settings.h"

namespace kalam::server {

/// Used by the process' main thread, but for Tick.
class Database {
 public:
  /// Opens the data directory and fills in `server`'s and the cores' references. Everything given
  /// must outlive it; the cores' threads do not run yet. Errors: as Store::Open; Config.
  static Result<std::unique_ptr<Database>> Open(const Settings& settings, const MemoryPlan& plan,
                                                MemoryAccount& memory, ServerContext& server,
                                                const std::vector<Core*>& cores,
                                                std::vector<std::string>* warnings);
  virtual ~Database() = default;

  /// Background work that is due; on a worker, about once a second.
  virtual void Tick() = 0;
  /// True when RunMemoryRound has something to do; cheap, on any thread.
  virtual bool NeedsMemoryRound() = 0;
  /// Sheds or restores; on a worker, one at a time.
  virtual void RunMemoryRound() = 0;
  /// Grows with whatever clients have asked for or were sent.
  virtual int64_t activity() const = 0;
  /// Memory that the allocator's figures lack: blocks of the store have pages of their own.
  virtual int64_t block_page_bytes() const = 0;
  /// Lets go of what a busy time has filled; on a worker, when activity has paused.
  virtual void Rest() = 0;
  /// Stops intake and background threads and waits until everything appended is settled. The cores'
  /// threads have ended, their loops still exist (completions are posted there and never run).
  virtual void Close() = 0;
};

/// Sets a new password of root in a data directory that no server has open. Errors: as
/// Database::Open; InvalidInput.
Status ResetRootPassword(const Settings& settings, const std::string& password);

}  // namespace kalam::server
