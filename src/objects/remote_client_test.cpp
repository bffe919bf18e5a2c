// Patience with object stores: what is repeated, what is not, how long, and what the messages say.
#include "objects/remote_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/id_generators.h"

namespace kalam::objects {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "wJalrXUtnFEMI";

// Answers each connection with the next text of a script (the last one for ever): "" closes it,
// "hang" never answers.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (const int fd : hanging_) close(fd);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int requests() const { return requests_.load(); }

 private:
  void Serve() {
    while (true) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = read(fd, buffer, sizeof(buffer));
        if (count <= 0) break;
        request.append(buffer, static_cast<size_t>(count));
      }
      const auto index = static_cast<size_t>(requests_.fetch_add(1));
      const std::string& answer = answers_[std::min(index, answers_.size() - 1)];
      if (answer == "hang") {
        hanging_.push_back(fd);
        continue;
      }
      EXPECT_EQ(write(fd, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
      shutdown(fd, SHUT_WR);
      close(fd);
    }
  }

  const std::vector<std::string> answers_;
  int listener_ = -1;
  int port_ = 0;
  std::vector<int> hanging_;  // the thread's until it is joined
  std::atomic<int> requests_{0};
  std::thread thread_;
};

std::string Answer(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

std::string ErrorBody(const std::string& code) {
  return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>" + kSecret +
         "</Message></Error>";
}

class RemoteClientTest : public testing::Test {
 protected:
  void Open(const std::string& endpoint, const StorageEnvironment& environment) {
    auto storage =
        OpenObjectStorage({.storage_id = "far",
                           .type = "s3",
                           .base_directory = "s3://bucket",
                           .config_json = R"({"endpoint":")" + endpoint + R"(","allow_http":true})",
                           .credentials_json = R"({"access_key_id":"id","secret_access_key":")" +
                                               std::string(kSecret) + "\"}"},
                          environment, BaseFolder::kMustExist);
    ASSERT_TRUE(storage.ok()) << storage.status().ToString();
    storage_ = std::move(*storage);
  }
  std::unique_ptr<ObjectStorage> storage_;
};

TEST_F(RemoteClientTest, PassingFailuresAreRepeated) {
  ScriptedServer server({Answer(503, ErrorBody("SlowDown")), Answer(429, ""), "",
                         Answer(500, ErrorBody("InternalError")), Answer(200, "hello")});
  Metrics metrics;
  StorageEnvironment environment;
  environment.metrics = &metrics;
  Open(server.url(), environment);
  const auto read = storage_->Read("a", 0, -1);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, "hello");
  EXPECT_EQ(server.requests(), 5);
  EXPECT_EQ(metrics.counter("storage_requests").value(), 5);
  EXPECT_EQ(metrics.counter("storage_retries").value(), 4);
}

TEST_F(RemoteClientTest, NotEveryRequestWaitsForAStorageThatIsDown) {
  const std::string busy = Answer(503, "");
  ScriptedServer down({busy});
  StorageEnvironment environment;
  environment.retry_for_ms = 300;
  Open(down.url(), environment);
  EXPECT_FALSE(storage_->Read("a", 0, -1).ok());
  for (int i = 0; i < 2; ++i) {
    const int before = down.requests();
    EXPECT_THAT(storage_->Read("a", 0, -1).status().message(), HasSubstr("tried once"));
    EXPECT_EQ(down.requests(), before + 1);
  }
}

TEST_F(RemoteClientTest, AnAnswerBringsThePatienceBack) {
  std::vector<std::string> answers(40, Answer(503, ""));
  answers.push_back(Answer(200, "one"));
  answers.push_back(Answer(503, ""));
  answers.push_back(Answer(200, "two"));
  ScriptedServer server(answers);
  StorageEnvironment environment;
  environment.retry_for_ms = 300;
  Open(server.url(), environment);
  int failures = 0;
  while (!storage_->Read("a", 0, -1).ok()) ++failures;
  EXPECT_GT(failures, 1);
  EXPECT_EQ(server.requests(), 41);
  const auto read = storage_->Read("a", 0, -1);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, "two");
}

TEST_F(RemoteClientTest, RefusalsAreNot) {
  ScriptedServer server({Answer(403, ErrorBody("SignatureDoesNotMatch"))});
  Open(server.url(), {});
  const Status read = storage_->Read("a/b", 0, -1).status();
  EXPECT_EQ(read.ToString(),
            "Storage error: Storage 'far' refused to read 'a/b': HTTP 403 SignatureDoesNotMatch; "
            "its credentials are wrong or lack the right");
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(RemoteClientTest, AMissingBucketIsNotAMissingObject) {
  ScriptedServer server({Answer(404, ErrorBody("NoSuchBucket"))});
  Open(server.url(), {});
  for (const Status& status :
       {storage_->Read("a", 0, -1).status(), storage_->Stat("a").status(), storage_->Delete("a"),
        storage_->List("", [](const ObjectEntry&) { return true; }), storage_->Put("a", "x")}) {
    EXPECT_TRUE(status.Is(ErrorKind::StorageIo)) << status.ToString();
    EXPECT_THAT(status.ToString(), HasSubstr("HTTP 404 NoSuchBucket"));
  }
}

TEST_F(RemoteClientTest, GivesUpWithinItsTime) {
  ScriptedServer server({Answer(503, ErrorBody("SlowDown"))});
  StorageEnvironment environment;
  environment.retry_for_ms = 700;
  Open(server.url(), environment);
  const Status put = storage_->Put("a", "x");
  EXPECT_TRUE(put.Is(ErrorKind::StorageIo));
  EXPECT_THAT(put.ToString(),
              HasSubstr("Storage 'far' did not write 'a': HTTP 503 SlowDown; tried "));
  EXPECT_GE(server.requests(), 2);
  environment.retry_for_ms = 0;
  const int before = server.requests();
  Open(server.url(), environment);
  EXPECT_THAT(storage_->Put("a", "x").ToString(), HasSubstr("tried once"));
  EXPECT_EQ(server.requests(), before + 1);
}

TEST_F(RemoteClientTest, AServerThatIsGoneOrSilent) {
  StorageEnvironment environment;
  environment.retry_for_ms = 200;
  environment.request_timeout_ms = 300;
  std::string gone;
  { gone = ScriptedServer({""}).url(); }
  Open(gone, environment);
  EXPECT_THAT(
      storage_->Stat("a").status().ToString(),
      HasSubstr("Storage 'far' did not look at 'a': Couldn't connect to server (127.0.0.1:"));

  ScriptedServer silent({"hang"});
  Open(silent.url(), environment);
  EXPECT_THAT(storage_->Stat("a").status().ToString(), HasSubstr("Timeout was reached"));
}

TEST_F(RemoteClientTest, StoppingEndsRequestsUnderWay) {
  ScriptedServer silent({"hang"});
  std::atomic<bool> stopping{false};
  StorageEnvironment environment;
  environment.stopping = [&stopping] { return stopping.load(); };
  Open(silent.url(), environment);
  Status read;
  std::thread reader([&] { read = storage_->Read("a", 0, -1).status(); });
  while (silent.requests() == 0) std::this_thread::yield();
  stopping = true;
  reader.join();
  EXPECT_TRUE(read.Is(ErrorKind::StorageIo));
  EXPECT_THAT(read.ToString(), HasSubstr("shutting down"));
  EXPECT_THAT(storage_->Put("a", "x").ToString(), HasSubstr("shutting down"));
  EXPECT_EQ(silent.requests(), 1);
}

TEST_F(RemoteClientTest, MessagesHoldNoCredential) {
  for (const int status : {400, 403, 404, 501}) {
    ScriptedServer server({Answer(status, ErrorBody(std::string("Odd <b>") + kSecret)),
                           Answer(status, ErrorBody("Code"))});
    StorageEnvironment environment;
    environment.retry_for_ms = 0;
    Open(server.url(), environment);
    for (int i = 0; i < 2; ++i) {
      const std::string text = storage_->Put("a", "x").ToString();
      EXPECT_THAT(text, HasSubstr("HTTP " + std::to_string(status)));
      EXPECT_THAT(text, Not(HasSubstr(kSecret)));
    }
  }
}

TEST_F(RemoteClientTest, ABucketElsewhereIsNamed) {
  ScriptedServer server(
      {"HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\nConnection: close\r\n"
       "Content-Length: 0\r\n\r\n"});
  Open(server.url(), {});
  EXPECT_THAT(storage_->Put("a", "x").ToString(),
              HasSubstr("HTTP 301; the bucket is in region eu-west-1"));
}

TEST_F(RemoteClientTest, AFailedUploadIsGivenUp) {
  // Begun, one part taken, the second refused: the upload is aborted with a DELETE.
  const std::string begun =
      "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
  ScriptedServer server(
      {Answer(200, begun),
       "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
       Answer(403, ErrorBody("AccessDenied")), Answer(204, "")});
  StorageEnvironment environment;
  environment.multipart_bytes = 1000;
  Open(server.url(), environment);
  const std::string local = testing::TempDir() + "/kalam-part-" + RandomHex(8);
  std::ofstream(local) << std::string(1500, 'x');
  const Status put = storage_->PutFile(local, "a");
  std::filesystem::remove(local);
  EXPECT_THAT(put.ToString(), HasSubstr("refused to write part 2 of 'a'"));
  EXPECT_EQ(server.requests(), 4);
}

TEST(RemoteSettingsTest, SettingsThatCannotBe) {
  const auto error = [](const std::string& type, const std::string& base, const std::string& config,
                        const std::string& credentials) {
    return OpenObjectStorage({.storage_id = "s",
                              .type = type,
                              .base_directory = base,
                              .config_json = config,
                              .credentials_json = credentials},
                             {}, BaseFolder::kCreate)
        .status()
        .ToString();
  };
  const std::string keys = R"({"access_key_id":"a","secret_access_key":"b"})";
  const std::string prefix = "Invalid operation: Storage 's': ";
  EXPECT_EQ(error("s3", "bucket", "", keys),
            prefix + "its place must be written as s3://bucket/prefix");
  EXPECT_EQ(error("s3", "s3://", "", keys),
            prefix + "its place must be written as s3://bucket/prefix");
  EXPECT_THAT(error("s3", "s3://b/../c", "", keys), HasSubstr("must not contain"));
  EXPECT_EQ(error("s3", "s3://b", "[]", keys), prefix + "CONFIG must be a JSON object");
  EXPECT_EQ(error("s3", "s3://b", "", "no json"), prefix + "Credentials must be a JSON object");
  EXPECT_THAT(error("s3", "s3://b", R"({"regoin":"x"})", keys),
              HasSubstr("CONFIG has an unknown key 'regoin'; known are: region,"));
  EXPECT_THAT(error("s3", "s3://b", R"({"endpoint":"http://h"})", keys),
              HasSubstr("\"allow_http\": true"));
  EXPECT_THAT(error("s3", "s3://b", R"({"endpoint":"h:80"})", keys), HasSubstr("must be a URL"));
  EXPECT_THAT(error("s3", "s3://b", "", "{}"), HasSubstr("\"access_key_id\""));
  EXPECT_THAT(error("gcs", "gs://b", "", "{}"), HasSubstr("service_account_json"));
  EXPECT_THAT(error("gcs", "gs://b", "",
                    R"({"service_account_json":{"client_email":"e","private_key":"k"}})"),
              HasSubstr("private_key is not an RSA key"));
  EXPECT_THAT(error("azure", "az://c", "", R"({"access_key":"eA=="})"),
              HasSubstr("\"account_name\""));
  EXPECT_THAT(error("azure", "az://c", "", R"({"account_name":"n","access_key":"*"})"),
              HasSubstr("access_key is not base64"));
  EXPECT_THAT(error("azure", "az://c", "", R"({"account_name":"n"})"), HasSubstr("\"sas_token\""));
}

}  // namespace
}  // namespace kalam::objects
