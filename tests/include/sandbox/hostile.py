"""What a hostile model's code tries, each by itself; it prints what it got. Placed in a model's folder as ``attempts.py``.

Names that ``{...}`` stand for are filled in by the test. An attempt that gets something returns what; one that is refused raises.
"""

import ctypes
import os
import signal
import socket
import threading
import urllib.request
from pathlib import Path

FACTS = {}
NOT_ATTEMPTS = ("attempt", "read", "Path")


def read(path):
    return repr(open(path, "rb").read(20))


def credentials():
    return read(FACTS["home"] + "/credentials.json")


def airflows_database():
    return read(FACTS["home"] + "/airflow/airflow.db")


def other_models_callers():
    """What they sent and got, as it is kept."""
    return read(next(Path(FACTS["home"] + "/predictions").rglob("*.parquet"), FACTS["home"] + "/predictions/none"))


def other_models_callers_of_this_minute():
    return read(FACTS["home"] + "/prediction-log/1.jsonl")


def plant_a_row_of_another_model():
    Path(FACTS["home"] + "/prediction-log/2.jsonl").write_text("{}")
    return "planted"


def tokens_of_the_platforms_parts():
    got = []
    for name in FACTS["tokens"]:
        try:
            got.append(name + read(FACTS["home"] + "/" + name))
        except OSError:
            continue
    if not got:
        raise PermissionError("none")
    return str(got)


def write_mlflows_database():
    with open(FACTS["home"] + "/mlflow/mlflow.db", "r+b") as file:
        file.write(b"x")
    return "written"


def supervisors_socket():
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(FACTS["home"] + "/supervisor/supervisor.sock")
    return "connected"


def other_runs_folder():
    return read(FACTS["other"])


def other_runs_folder_through_proc():
    return read(f"/proc/{FACTS['platform']}/root{FACTS['other']}")


def other_models_folder():
    return read(FACTS["other_model"])


def data_remote():
    return str(os.listdir(FACTS["home"] + "/dvc"))


def plant_in_updrafts_code():
    Path(FACTS["repo"] + "/include/planted.py").write_text("")
    return "planted"


def plant_in_the_runtime():
    (Path(os.__file__).parent / "planted.py").write_text("")
    return "planted"


def plant_beside_the_model():
    Path(__file__).with_name("planted.py").write_text("")
    return "planted"


def the_users_home():
    return str(os.listdir(FACTS["user_home"]))


def write_in_tmp_of_others():
    return read(FACTS["in_tmp"])


def shared_memory_of_others():
    return read(FACTS["in_shm"])


def environment_of_the_platform():
    return repr(Path(f"/proc/{FACTS['platform']}/environ").read_bytes()[:20])


def own_environment_has_a_password():
    found = [name for name, value in os.environ.items() if "PASSWORD" in name or value in FACTS["secrets"]]
    if not found:
        raise PermissionError("none")
    return str(found)


def secrets_on_command_lines():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if found := [secret for secret in FACTS["secrets"] if secret in line]:
            return str(found)
    raise PermissionError("none")


def memory_of_the_platform():
    with open(f"/proc/{FACTS['platform']}/mem", "r+b"):
        return "opened"


def set_the_kernels_options():
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        return f"could set {file.read(20)!r}"


def trace_the_platform():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, FACTS["platform"], 0, 0) == 0:  # PTRACE_ATTACH
        libc.ptrace(17, FACTS["platform"], 0, 0)
        return "traced"
    raise OSError(ctypes.get_errno(), "ptrace")


def signal_the_platform():
    os.kill(FACTS["platform"], 0)
    return "could be killed"


def signal_supervisord():
    os.kill(FACTS["supervisord"], signal.SIGURG)
    return "signalled"


def replace_the_log():
    log = FACTS["folder"] + "/log.txt"
    os.rename(log, log + ".moved")
    os.symlink(FACTS["home"] + "/credentials.json", log)
    return "replaced"


def replace_the_request():
    os.unlink(FACTS["folder"] + "/request.json")
    return "removed"


def hard_link_to_what_is_read():
    os.link(FACTS["repo"] + "/include/errors.py", FACTS["folder"] + "/out/errors.py")
    return "linked"


def become_root():
    os.setuid(0)
    if os.getuid() == 0 and FACTS["was_root"]:
        return "root"
    raise PermissionError("no root")


def see_the_home_from_a_new_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000 | 0x00020000):
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.umount2(FACTS["home"].encode(), 2):
        raise OSError(ctypes.get_errno(), "umount")
    return credentials()


def connect_to_airflow():
    socket.create_connection(("127.0.0.1", FACTS["airflow_port"]), 2)
    return "connected"


def connect_to_mlflow_itself():
    socket.create_connection(("127.0.0.1", FACTS["mlflow_port"]), 2)
    return "connected"


def connect_to_airflow_by_multipath_tcp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as connection:
        connection.settimeout(2)
        connection.connect(("127.0.0.1", FACTS["airflow_port"]))
    return "connected"


def connect_to_airflow_by_sending():
    """TCP Fast Open: sendto() connects."""
    with socket.socket() as connection:
        connection.settimeout(2)
        connection.sendto(b"GET / HTTP/1.0\r\n\r\n", 0x20000000, ("127.0.0.1", FACTS["airflow_port"]))
    return "connected"


def connect_to_airflow_by_sending_a_message():
    with socket.socket() as connection:
        connection.settimeout(2)
        connection.sendmsg([b"GET / HTTP/1.0\r\n\r\n"], [], 0x20000000, ("127.0.0.1", FACTS["airflow_port"]))
    return "connected"


def a_socket_of_the_machines_host():
    with socket.socket(socket.AF_VSOCK):
        return "made"


def calls_that_no_filter_sees():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 4, ctypes.create_string_buffer(120)) < 0:  # io_uring_setup
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    return "made a ring"


def clouds_metadata():
    socket.create_connection(("169.254.169.254", 80), 2)
    return "connected"


def clusters_api():
    socket.create_connection(tuple(FACTS["cluster_api"]), 2)
    return "connected"


def token_of_the_cluster():
    return read("/var/run/secrets/kubernetes.io/serviceaccount/token")


def dockers_socket():
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(FACTS["docker"])
    return "connected"


def listen_where_the_platform_does():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", FACTS["free_platform_port"]))
    return "bound"


def another_runs_record():
    request = urllib.request.Request(FACTS["other_record"], headers={"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]})
    return str(urllib.request.urlopen(request, timeout=10).read(40))


def more_processes_than_allowed():
    """By threads, which count alike and are cheap."""
    stop, started = threading.Event(), 0
    threading.stack_size(64 * 1024)
    try:
        for _ in range(FACTS["processes"]):
            threading.Thread(target=stop.wait, daemon=True).start()
            started += 1
    finally:
        stop.set()
    return f"{started} threads"


def allowed():
    """What a step does need: it must go on working."""
    Path(FACTS["folder"] + "/out/mine").write_text("x")
    Path(os.environ["UPDRAFT_CHECKPOINTS"] + "/mine").write_text("x")
    Path("/dev/shm/mine").write_text("x")
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    with socket.socket() as server:  # as workers of a gang, and servers that steps start
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), 5):
            pass
    socket.create_connection(tuple(FACTS["door"]), 5).close()
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return str(os.listdir(str(Path(__file__).parent)) and "fine")


def attempt(facts):
    FACTS.update(facts)
    got = {}
    for name, work in list(globals().items()):
        if (
            callable(work)
            and getattr(work, "__module__", "") == __name__
            and name in facts.get("only", (name,))
            and name not in NOT_ATTEMPTS
        ):
            try:
                got[name] = work()
            except KeyError as error:
                got[name] = f"not tried: there is no {error}"
            except BaseException as error:
                got[name] = f"refused: {type(error).__name__}: {str(error)[:80]}"
    return got
