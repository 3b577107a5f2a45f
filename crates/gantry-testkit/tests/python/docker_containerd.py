"""The daemon of a dockerd: spawned by it as `docker-containerd`, watched by its health, and spawned again."""

import ctypes
import os
import signal
import subprocess
import threading
import time

import grpc

import health_pb2
import health_pb2_grpc

# Nothing here takes long; what does hangs.
SECONDS = 30
# dockerd's own times.
HEALTH_INTERVAL, HEALTH_TIMEOUT, HEALTH_FAILURES = 0.5, 3, 3
SHUTDOWN_SECONDS = 15
PR_SET_PDEATHSIG = 1


class Daemon:
    def __init__(self, root, programs):
        self.root = root
        self.programs = programs
        self.socket = os.path.join(root, "docker-containerd.sock")
        self.spawned = 0
        self.process = None
        os.makedirs(root, mode=0o700, exist_ok=True)
        self._spawn()
        # grpcio sends the socket's path as :authority, as dockerd did: no option for it, on purpose.
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self.channel = grpc.insecure_channel(f"unix:{self.socket}", options=options)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        threading.Thread(target=self._watch, daemon=True).start()

    def _spawn(self):
        """Starts the daemon, which ends with this process, and with the thread that makes it."""

        def prepare():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        arguments = ["docker-containerd", "-l", f"unix://{self.socket}", "--metrics-interval=0", "--start-timeout", "2m"]
        arguments += ["--state-dir", os.path.join(self.root, "containerd"), "--shim", "docker-containerd-shim"]
        arguments += ["--runtime", "docker-runc", "--debug", "--runtime-args", "--systemd-cgroup=true"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_SOCKET")}
        environment["PATH"] = f"{self.programs}:{environment['PATH']}"
        with open(os.path.join(self.root, "log"), "ab") as log:
            self.process = subprocess.Popen(
                arguments,
                executable=os.path.join(self.programs, "docker-containerd"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self.spawned += 1
        try:
            with open(f"/proc/{self.process.pid}/oom_score_adj", "w", encoding="ascii") as score:
                score.write("-500")
        except PermissionError:
            # As in a container without CAP_SYS_RESOURCE.
            pass
        with open(os.path.join(self.root, "docker-containerd.pid"), "w", encoding="ascii") as pid_file:
            pid_file.write(str(self.process.pid))

    def _watch(self):
        failures = 0
        while True:
            time.sleep(HEALTH_INTERVAL)
            try:
                answer = self.health.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
            except grpc.RpcError:
                # A success in between does not count.
                failures += 1
                if failures >= HEALTH_FAILURES:
                    failures = 0
                    self.process.kill()
                    self.process.wait()
                    self._spawn()
            except ValueError:
                # The channel was closed.
                return

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def wait_for(self, spawned):
        """Until so many daemons have been spawned, and the last one answers."""
        deadline = time.monotonic() + SECONDS
        while self.spawned < spawned:
            assert time.monotonic() < deadline, "the daemon was not spawned again"
            time.sleep(0.05)
        self.health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS, wait_for_ready=True)

    def shut_down(self):
        """SIGTERM, which must be enough."""
        self.channel.close()
        self.process.terminate()
        status = self.process.wait(SHUTDOWN_SECONDS)
        assert status == 0, status
        assert not os.path.exists(self.socket)
