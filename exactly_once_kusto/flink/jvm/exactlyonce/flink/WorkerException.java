package exactlyonce.flink;

import java.io.IOException;

import org.apache.flink.runtime.execution.SuppressRestartsException;

/** A worker process failed; the message holds the Python traceback where there is one. */
final class WorkerException extends IOException {

    private static final long serialVersionUID = 1L;

    /** What Python said, without its traceback. */
    final String reason;

    final boolean restart;

    WorkerException(String reason, String traceback, boolean restart) {
        super(traceback.isEmpty() ? reason : reason + "\n" + traceback);
        this.reason = reason;
        this.restart = restart;
    }

    /** Throws this so that Flink restarts the job only where a restart may help. */
    void raise() throws WorkerException {
        if (restart) {
            throw this;
        }
        throw new SuppressRestartsException(this);
    }
}
