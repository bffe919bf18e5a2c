// See transaction_registry.h.
#include "statements/transaction_registry.h"

namespace kalam::statements {

void TransactionRegistry::Put(const OpenTransaction& transaction) {
  std::lock_guard lock(mutex_);
  open_.insert_or_assign(transaction.transaction_id, transaction);
}

void TransactionRegistry::Remove(const std::string& transaction_id) {
  std::lock_guard lock(mutex_);
  open_.erase(transaction_id);
}

std::vector<OpenTransaction> TransactionRegistry::List() const {
  std::lock_guard lock(mutex_);
  std::vector<OpenTransaction> transactions;
  transactions.reserve(open_.size());
  for (const auto& [id, transaction] : open_) transactions.push_back(transaction);
  return transactions;
}

}  // namespace kalam::statements
