// Tests of what is read from the system: limits of cgroups from made-up trees, this process' own
// sizes.
#include "base/process_memory.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace kalam {
namespace {

class MachineMemoryTest : public ::testing::Test {
 protected:
  MachineMemoryTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kalam_root_XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    Write("/proc/meminfo", "MemTotal:        1000 kB\nMemFree: 5 kB\n");
  }
  ~MachineMemoryTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(MachineMemoryTest, WithoutCgroupsOnlyTheMachineCounts) {
  const MachineMemory memory = ReadMachineMemory(root_);
  EXPECT_EQ(memory.machine_bytes, 1'024'000);
  EXPECT_EQ(memory.cgroup_bytes, 0);
}

TEST_F(MachineMemoryTest, VersionTwoTakesTheSmallestLimitOnTheWayUp) {
  Write("/proc/self/cgroup", "0::/outer/inner\n");
  Write("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
  Write("/sys/fs/cgroup/outer/memory.max", "300000\n");
  Write("/sys/fs/cgroup/memory.max", "900000\n");
  EXPECT_EQ(ReadMachineMemory(root_).cgroup_bytes, 300000);
}

TEST_F(MachineMemoryTest, VersionTwoInAContainerIsTheRoot) {
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/memory.max", "123456\n");
  EXPECT_EQ(ReadMachineMemory(root_).cgroup_bytes, 123456);
}

TEST_F(MachineMemoryTest, VersionOneHasAControllerOfItsOwn) {
  Write("/proc/self/cgroup", "12:cpu,cpuacct:/docker/a\n5:memory:/docker/a\n0::/docker/a\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "500000\n");
  EXPECT_EQ(ReadMachineMemory(root_).cgroup_bytes, 500000);
}

TEST_F(MachineMemoryTest, NoLimitIsNone) {
  Write("/proc/self/cgroup", "5:memory:/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(ReadMachineMemory(root_).cgroup_bytes, 0);
}

TEST(ProcessMemoryTest, TouchedPagesAreAnonymous) {
  const ProcessMemory before = ReadProcessMemory();
  ASSERT_GT(before.resident_bytes, before.anonymous_bytes);
  const std::vector<char> touched(32 << 20, 'x');
  EXPECT_GE(ReadProcessMemory().anonymous_bytes - before.anonymous_bytes, 24 << 20);
  EXPECT_EQ(touched[5], 'x');
}

TEST(ProcessMemoryTest, UnreadBytesOfSocketsAreKernelMemory) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const int64_t before = ReadKernelSocketBytes();
  const std::string bytes(16 << 10, 'x');
  ASSERT_EQ(write(ends[0], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  EXPECT_GE(ReadKernelSocketBytes() - before, 16 << 10);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace kalam
