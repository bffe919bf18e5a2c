// TLS over OpenSSL's memory buffers.
#include "server/tls.h"

#include <fmt/format.h>
#include <openssl/buffer.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace kalam::server {
namespace {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct StreamDeleter {
  void operator()(SSL* stream) const { SSL_free(stream); }
};

std::string LastError() {
  char text[256];
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// What is handed to OpenSSL at once: a record of TLS holds as much.
constexpr size_t kSliceBytes = 16 << 10;
// What an idle connection's buffers in either direction may keep.
constexpr size_t kKeptBufferBytes = 1 << 10;

class Stream : public TlsStream {
 public:
  explicit Stream(SSL_CTX* context) : ssl_(SSL_new(context)) {
    // The SSL object owns both buffers.
    incoming_ = BIO_new(BIO_s_mem());
    outgoing_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), incoming_, outgoing_);
    SSL_set_accept_state(ssl_.get());
  }

  bool Receive(std::string_view sealed, std::string* plain, std::string* answer) override {
    ERR_clear_error();
    bool good = true;
    for (size_t at = 0; at < sealed.size() && good; at += kSliceBytes)
      good = Open(sealed.substr(at, kSliceBytes), plain);
    Drain(answer);
    GiveBack(&incoming_, SSL_set0_rbio);
    GiveBack(&outgoing_, SSL_set0_wbio);
    return good;
  }

  bool Send(std::string_view plain, std::string* sealed) override {
    ERR_clear_error();
    for (size_t at = 0; at < plain.size(); at += kSliceBytes) {
      const std::string_view slice = plain.substr(at, kSliceBytes);
      if (SSL_write(ssl_.get(), slice.data(), static_cast<int>(slice.size())) <= 0) return false;
      Drain(sealed);
    }
    Drain(sealed);
    GiveBack(&outgoing_, SSL_set0_wbio);
    return true;
  }

 private:
  /// False when the connection must be closed.
  bool Open(std::string_view sealed, std::string* plain) {
    if (BIO_write(incoming_, sealed.data(), static_cast<int>(sealed.size())) <= 0) return false;
    while (true) {
      char buffer[4096];
      const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (got > 0) {
        plain->append(buffer, static_cast<size_t>(got));
        continue;
      }
      const int reason = SSL_get_error(ssl_.get(), got);
      return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
    }
  }

  void Drain(std::string* out) {
    const size_t waiting = BIO_ctrl_pending(outgoing_);
    if (waiting == 0) return;
    const size_t before = out->size();
    out->resize(before + waiting);
    const int got = BIO_read(outgoing_, out->data() + before, static_cast<int>(waiting));
    out->resize(before + static_cast<size_t>(got > 0 ? got : 0));
  }

  /// A buffer of OpenSSL's keeps the size that it once had: an empty one that a burst has filled
  /// is replaced.
  void GiveBack(BIO** buffer, void (*set)(SSL*, BIO*)) {
    BUF_MEM* memory = nullptr;
    BIO_get_mem_ptr(*buffer, &memory);
    if (memory == nullptr || memory->max <= kKeptBufferBytes || BIO_ctrl_pending(*buffer) > 0)
      return;
    BIO* fresh = BIO_new(BIO_s_mem());
    if (fresh == nullptr) return;
    set(ssl_.get(), fresh);
    *buffer = fresh;
  }

  std::unique_ptr<SSL, StreamDeleter> ssl_;
  BIO* incoming_ = nullptr;
  BIO* outgoing_ = nullptr;
};

class Context : public TlsContext {
 public:
  explicit Context(SSL_CTX* context) : context_(context) {}
  std::unique_ptr<TlsStream> NewStream() override {
    return std::make_unique<Stream>(context_.get());
  }

 private:
  std::unique_ptr<SSL_CTX, ContextDeleter> context_;
};

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string& certificate_path,
                                                     const std::string& key_path) {
  std::unique_ptr<SSL_CTX, ContextDeleter> context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_path.c_str()) != 1) {
    return Status(ErrorKind::Config,
                  fmt::format("server.tls.cert: cannot use {}: {}", certificate_path, LastError()));
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_path.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return Status(ErrorKind::Config,
                  fmt::format("server.tls.key: cannot use {}: {}", key_path, LastError()));
  }
  return std::unique_ptr<TlsContext>(std::make_unique<Context>(context.release()));
}

}  // namespace kalam::server
