"""Reading a mailbox that grows, for store.py --growth: the commands that go
through all messages, with their time, CPU time and the most memory that the
server took for each beyond what it had before."""
import bench
import cases_messages
import mails
import usage

SORTS = ("DATE", "SUBJECT")
FLAGS = "UID FETCH 1:* (FLAGS)"
COMMANDS = (
    (FLAGS, FLAGS),
    ("SEARCH UNSEEN", "SEARCH UNSEEN"),
    ("ENVELOPE BODYSTRUCTURE, never read", cases_messages.ENVELOPES),
    ("ENVELOPE BODYSTRUCTURE, read before", cases_messages.ENVELOPES),
    *((f"SEARCH SUBJECT, {time}", f"SEARCH SUBJECT {mails.RARE}")
      for time in ("first", "again")),
    *((f"SORT ({key}), {time}", f"SORT ({key}) UTF-8 ALL")
      for key in SORTS for time in ("first", "again")),
)


def measure(server, client, n):
    """With the mailbox of n messages selected: a line for each command."""
    lines = []
    for title, command in COMMANDS:
        meter = bench.Meter(server)
        memory = -usage.reset_peak(server.pid)
        with meter:
            client.do(command)
        memory += usage.peak(server.pid)
        lines.append(f"{title:37}{n:9}{meter.wall * 1000:10.0f}"
                     f"{meter.cpu * 1000:10.0f}{memory / 2**20:10.1f}")
    return lines
