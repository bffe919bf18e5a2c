// The audit trail: who did what to which object, kept as records beside the jobs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "catalog/catalog.h"

namespace kalam::statements {

/// A row of system.audit_log. Texts never hold secrets: callers mask them.
struct AuditEntry {
  std::string audit_id;  // `audit_<ms>_<hex>`
  int64_t timestamp_us = 0;
  std::string actor_user_id;
  std::string action;  // "CREATE_TABLE", "SHOW", ...
  std::string target;
  std::optional<std::string> details;
  std::string ip_address;  // empty: NULL
  std::optional<std::string> subject_user_id;
};

/// The record of a new entry; gives it its id. It belongs into the command of the change that it
/// tells of.
catalog::RecordWrite AuditWrite(AuditEntry entry);
/// All entries, oldest first. Errors: StorageIo, Corruption.
Result<std::vector<AuditEntry>> ListAudit(storage::Store& store);

}  // namespace kalam::statements
