"""Which tests exist: builds the test binaries of a workspace and asks each for its list. Imported by the scripts beside it."""
import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path


class CannotBuild(Exception):
    """The tests do not compile; the message is cargo's."""


@dataclass
class Binary:
    """One test executable: the unit tests of a crate or one file of tests/."""
    path: str
    package: str
    target: str
    home: Path  # the package's folder: cargo runs its tests there
    integration: bool

    def names(self, test):
        """How a document may call a test of this binary: `crate::path::test`, `file::test` or `package::file::test`."""
        target = self.target.replace("-", "_")
        yield f"{target}::{test}"
        if self.integration:
            yield f"{self.package.replace('-', '_')}::{target}::{test}"

    def environment(self):
        return {**os.environ, "CARGO_MANIFEST_DIR": str(self.home), "CARGO_PKG_NAME": self.package}

    def list(self, *more):
        """The paths of its tests."""
        done = subprocess.run([self.path, "--list", "--format", "terse", *more], cwd=self.home, env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise SystemExit(f"{self.path} --list failed:\n{done.stderr}")
        # The black-box checks say on what they run: `[tokio] name`.
        return re.findall(r"^(?:\[[^]]+\] )?(.+): test$", done.stdout, re.M)


def build(root, args, env=None):
    """Builds the tests that `cargo test ARGS` would run."""
    done = subprocess.run(["cargo", "test", *args, "--no-run", "--message-format=json-render-diagnostics"], cwd=root,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBuild(done.stderr)
    binaries = []
    for message in map(json.loads, done.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            manifest = Path(message["manifest_path"])
            package = tomllib.loads(manifest.read_text())["package"]["name"]
            target = message["target"]
            binaries.append(Binary(message["executable"], package, target["name"], manifest.parent, target["kind"] == ["test"]))
    return binaries


def doc_tests(root, args):
    """The files that hold doc tests, relative to root."""
    done = subprocess.run(["cargo", "test", *args, "--doc", "--", "--list"], cwd=root, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBuild(done.stderr)
    return {os.path.normpath(name) for name in re.findall(r"^(\S+) - .*\(line \d+\): test$", done.stdout, re.M)}
