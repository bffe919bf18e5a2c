// The refusal of certificates in a build without TLS.
#include "server/tls.h"

namespace kalam::server {

Result<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string&, const std::string&) {
  return Status(ErrorKind::NotAvailable,
                "This server was built without TLS (KALAM_WITH_TLS): remove server.tls.cert and "
                "put a proxy in front");
}

}  // namespace kalam::server
