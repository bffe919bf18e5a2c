// Records of the audit trail, keyed by time so that they list in order.
//
//   audit/<microseconds: 8 bytes BE><8 hex digits>  ->  version:1 id timestamp actor action target
//   details ip subject
#include "statements/audit.h"

#include "base/id_generators.h"
#include "catalog/field_codec.h"
#include "types/key_codec.h"

namespace kalam::statements {
namespace {

constexpr std::string_view kAuditPrefix = "audit/";

void WriteOptional(const std::optional<std::string>& text, catalog::FieldWriter* out) {
  out->Number(text ? 1 : 0);
  if (text) out->Text(*text);
}

std::optional<std::string> ReadOptional(catalog::FieldReader* in) {
  if (in->Number() == 0) return std::nullopt;
  return in->Text();
}

Result<AuditEntry> Decode(std::string_view bytes) {
  catalog::FieldReader in(bytes);
  AuditEntry entry;
  entry.audit_id = in.Text();
  entry.timestamp_us = in.Signed();
  entry.actor_user_id = in.Text();
  entry.action = in.Text();
  entry.target = in.Text();
  entry.details = ReadOptional(&in);
  entry.ip_address = in.Text();
  entry.subject_user_id = ReadOptional(&in);
  if (!in.ok()) return Status(ErrorKind::Corruption, "an audit record cannot be read");
  return entry;
}

}  // namespace

catalog::RecordWrite AuditWrite(AuditEntry entry) {
  const std::string suffix = RandomHex(8);
  entry.audit_id = "audit_" + std::to_string(entry.timestamp_us / 1000) + "_" + suffix;
  catalog::FieldWriter out;
  out.Text(entry.audit_id);
  out.Signed(entry.timestamp_us);
  out.Text(entry.actor_user_id);
  out.Text(entry.action);
  out.Text(entry.target);
  WriteOptional(entry.details, &out);
  out.Text(entry.ip_address);
  WriteOptional(entry.subject_user_id, &out);
  std::string key(kAuditPrefix);
  EncodeBigEndian64(static_cast<uint64_t>(entry.timestamp_us), &key);
  key.append(suffix);
  return {storage::Family::kSystem, std::move(key), out.Take()};
}

Result<std::vector<AuditEntry>> ListAudit(storage::Store& store) {
  std::vector<AuditEntry> entries;
  auto iterator = store.NewIterator(storage::Family::kSystem,
                                    {std::string(kAuditPrefix), PrefixEnd(kAuditPrefix)});
  for (iterator->Seek(kAuditPrefix); iterator->Valid(); iterator->Next()) {
    KALAM_ASSIGN_OR_RETURN(AuditEntry entry, Decode(iterator->value()));
    entries.push_back(std::move(entry));
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return entries;
}

}  // namespace kalam::statements
