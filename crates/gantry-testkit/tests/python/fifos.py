"""The FIFOs of a process as dockerd opens them: each in the background, so that an open ends when the shim comes."""

import os
import threading


class Streams:
    """stdin to write, stdout to read, and stderr too unless there is a terminal; then that is named but not made."""

    def __init__(self, bundle, process, tty):
        self.paths = {stream: os.path.join(bundle, f"{process}-{stream}") for stream in ("stdin", "stdout", "stderr")}
        self.outputs = ("stdout",) if tty else ("stdout", "stderr")
        self.threads = {}
        self.collected = {stream: bytearray() for stream in self.outputs}
        self.stdin = None
        self.go = threading.Event()
        self.news = threading.Condition()

    def make(self):
        for stream in ("stdin", *self.outputs):
            os.mkfifo(self.paths[stream], 0o700)
        return self

    def open(self):
        self._start("stdin", self._open_stdin)
        for stream in self.outputs:
            self._start(stream, self._copy_output, stream)
        return self

    def copy(self):
        """From now on what comes is read."""
        self.go.set()
        return self

    def _start(self, name, target, *args):
        self.threads[name] = threading.Thread(target=target, args=args, daemon=True)
        self.threads[name].start()

    def _open_stdin(self):
        try:
            self.stdin = os.open(self.paths["stdin"], os.O_WRONLY)
        except FileNotFoundError:
            # Removed before it could be opened.
            self.stdin = None

    def _copy_output(self, stream):
        try:
            fifo = os.open(self.paths[stream], os.O_RDONLY)
        except FileNotFoundError:
            return
        self.go.wait()
        while data := os.read(fifo, 64 << 10):
            with self.news:
                self.collected[stream] += data
                self.news.notify_all()
        os.close(fifo)

    def write(self, data):
        self.threads["stdin"].join(30)
        os.write(self.stdin, data)

    def close_stdin(self):
        self.threads["stdin"].join(30)
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def text(self, stream="stdout"):
        return bytes(self.collected[stream]).decode()

    def wait_for(self, text, stream="stdout"):
        with self.news:
            seen = self.news.wait_for(lambda: text in self.text(stream), 30)
        assert seen, f"{text!r} did not come; {self.text(stream)!r} did"

    def finish(self, seconds):
        """The end of all outputs, which comes without anybody's help."""
        for stream in self.outputs:
            self.threads[stream].join(seconds)
            assert not self.threads[stream].is_alive(), f"{self.paths[stream]} was not closed"
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def give_up(self):
        """After a failed start: whoever still waits for the other side of a FIFO gets one for a moment."""
        self.go.set()
        for stream in ("stdin", *self.outputs):
            os.close(os.open(self.paths[stream], os.O_RDWR | os.O_NONBLOCK))
            self.threads[stream].join(5)

    def remove(self):
        for stream in ("stdin", *self.outputs):
            os.unlink(self.paths[stream])
