// `kalam --init-agent`: a small TypeScript project that fills a column of a table by itself.
#pragma once

#include <string>

#include "base/status.h"

namespace kalam::cli {

struct AgentProject {
  std::string name = "kalam-agent";
  std::string folder;  // empty: named as the project
  std::string table = "blog.blogs";
  std::string id_column = "blog_id";
  std::string input_column = "content";
  std::string output_column = "summary";
  std::string system_prompt = "Write a summary of one sentence.";
  std::string server_url = "http://localhost:8080";
};

/// Errors: InvalidInput naming what is not a name.
Status CheckAgentProject(const AgentProject& project);

/// Writes the files. Errors: InvalidInput when the folder has one of them already, or cannot be
/// written.
Status WriteAgentProject(const AgentProject& project);

}  // namespace kalam::cli
