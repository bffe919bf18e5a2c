// Server, users, echo and fsync for the measurements.
#include "suite/environment.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace kalam::bench {
namespace {

// Serves one connection after the other.
[[noreturn]] void RunEcho(int listener) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char buffer[16 << 10];
  while (true) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) _exit(0);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
      if (send(fd, buffer, static_cast<size_t>(got), MSG_NOSIGNAL) != got) break;
    }
    close(fd);
  }
}

double Us(int64_t ns) { return static_cast<double>(ns) / 1000.0; }

}  // namespace

Result<std::unique_ptr<Environment>> Environment::Start(const std::string& binary,
                                                        const std::string& config_file) {
  std::unique_ptr<Environment> environment(
      new Environment());  // NOLINT: the constructor is private
  load::ServerProcess::Options options;
  options.binary = binary;
  options.directory = environment->directory();
  options.config_file = config_file;
  KALAM_ASSIGN_OR_RETURN(load::ServerProcess server, load::ServerProcess::Start(options));
  environment->server_ = std::make_unique<load::ServerProcess>(std::move(server));
  environment->root_token_ = environment->server_->Token("root", "system");
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment->port()));
  environment->admin_ = std::make_unique<load::HttpClient>(std::move(client));
  return environment;
}

Result<std::string> Environment::Admin(const std::string& sql) {
  const std::string request = load::MakeSql(root_token_, sql);
  Result<load::HttpResponse> response = admin_->SendOk(request);
  if (response.status().Is(ErrorKind::Cancelled)) {
    // After a long pause the server has closed the connection.
    KALAM_ASSIGN_OR_RETURN(*admin_, load::HttpClient::Connect(port()));
    response = admin_->SendOk(request);
  }
  if (!response.ok()) return response.status();
  return std::move(response)->body;
}

Result<int64_t> Environment::AccountBytes(const std::string& account) {
  KALAM_ASSIGN_OR_RETURN(
      const std::string answer,
      Admin("SELECT used_bytes FROM system.memory WHERE account = '" + account + "'"));
  const size_t rows = answer.find("\"rows\":[[\"");
  if (rows == std::string::npos) return Status(ErrorKind::Execution, answer);
  return std::atoll(answer.c_str() + rows + 10);
}

Result<std::string> Environment::AddUser(const std::string& user_id) {
  KALAM_RETURN_IF_ERROR(Admin("CREATE USER '" + user_id + "' WITH INTERNAL ROLE user").status());
  return server_->Token(user_id, "user");
}

EchoProcess::EchoProcess() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 16) != 0)
    return;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  pid_ = fork();
  if (pid_ == 0) RunEcho(listener);
  close(listener);
}

EchoProcess::~EchoProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Result<std::vector<double>> EchoLatenciesUs(int port, size_t bytes, int count) {
  KALAM_ASSIGN_OR_RETURN(load::Socket socket, load::Socket::Connect(port));
  const std::string message(bytes, 'x');
  std::vector<double> latencies;
  std::string received;
  for (int i = 0; i < count; ++i) {
    received.clear();
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(socket.SendAll(message));
    while (received.size() < bytes) KALAM_RETURN_IF_ERROR(socket.Receive(&received, -1));
    latencies.push_back(Us(load::SteadyNs() - begin_ns));
  }
  return latencies;
}

Result<std::vector<double>> RequestLatenciesUs(load::HttpClient& client, int count,
                                               const std::function<std::string(int)>& make) {
  std::vector<double> latencies;
  for (int i = 0; i < count; ++i) {
    const std::string request = make(i);
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(client.SendOk(request).status());
    latencies.push_back(Us(load::SteadyNs() - begin_ns));
  }
  return latencies;
}

std::vector<double> SyncLatenciesUs(const std::string& directory, int count, SyncPlace place) {
  const std::string path = directory + "/fsync-probe";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string bytes(512, 'x');
  if (place == SyncPlace::kInside) {
    const std::string zeros(bytes.size() * static_cast<size_t>(count), '\0');
    if (write(fd, zeros.data(), zeros.size()) < 0 || fdatasync(fd) != 0) return {};
    lseek(fd, 0, SEEK_SET);
  }
  std::vector<double> latencies;
  for (int i = 0; i < count; ++i) {
    const int64_t begin_ns = load::SteadyNs();
    if (write(fd, bytes.data(), bytes.size()) < 0 || fdatasync(fd) != 0) break;
    latencies.push_back(Us(load::SteadyNs() - begin_ns));
  }
  close(fd);
  unlink(path.c_str());
  return latencies;
}

}  // namespace kalam::bench
