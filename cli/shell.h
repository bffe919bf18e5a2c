// The shell itself: statements and meta-commands, from the command line, a file, a pipe or a
// terminal.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "completion.h"
#include "output.h"
#include "session.h"

namespace kalam::cli {

class LineEditor;

class Shell {
 public:
  Shell(const Options& options, const Configuration& configuration, Session& session,
        CredentialStore& store, OutputStyle style);

  /// Runs statements, each as a request of its own and a transaction as one, so that what ran is
  /// shown when a later one fails; stops there. The exit code.
  int RunText(const std::string& text);
  int RunStream(std::istream& input);
  int RunInteractive();
  int RunSubscribe(const std::string& sql);

 private:
  enum class Next { kContinue, kQuit };
  // One statement (or several on one line), or a meta-command. False when it failed.
  bool Execute(const std::string& statement);
  bool ExecuteMeta(const std::string& line, Next* next);
  bool Query(const std::string& sql);
  Result<Answer> Ask(const std::string& sql);
  bool QueryAsOneDocument(const std::vector<std::string>& requests);
  bool RunRequests(const std::string& text);
  void Help() const;
  void Info();
  bool Health();
  std::string ClusterId();
  bool SetListRows(const std::string& arguments);
  bool Cluster(const std::string& arguments);
  bool Credential(const std::string& command, const std::string& arguments);
  void ShowHistory();
  std::string PromptText(bool continuation) const;

  const Options& options_;
  const Configuration& configuration_;
  Session& session_;
  CredentialStore& store_;
  OutputStyle style_;
  Completion completion_;
  LineEditor* editor_ = nullptr;  // while interactive
  std::string cluster_id_;        // empty: the server does not tell
  bool online_ = true;
  int64_t started_us_;
  int64_t statements_run_ = 0;
};

/// True when `text` ends a statement: its last token is `;`, or it is a meta-command, or a line was
/// left empty.
bool IsComplete(const std::string& text);

/// True when `text` begins a transaction and does not end it: it must go on, because a transaction
/// lives within one request.
bool HasOpenTransaction(const std::string& text);

/// The statements of `text`, each by itself but a transaction, which stays whole. Errors: as of
/// SplitStatements.
Result<std::vector<std::string>> SplitRequests(const std::string& text);

}  // namespace kalam::cli
