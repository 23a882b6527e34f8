package exactlyonce.flink;

import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * The wire between a task and its Python worker. Must match {@code frames.py}.
 *
 * <p>A frame is the length of what follows (u32, big endian), a kind (u8) and the payload. Lists of
 * opaque bytes are a count (u32) and, for each, a length (u32) and the bytes.
 */
final class Frames {

    static final int VERSION = 1;
    static final int PAYLOAD_BYTES_MAX = 64 << 20;
    static final int HEAD_BYTES = 5;

    static final byte HELLO = 1;
    static final byte BATCH = 3;
    static final byte PREPARE = 4;
    static final byte RESTORE = 10;
    static final byte PART = 11;
    static final byte SNAPSHOT = 12;
    static final byte COMPLETE = 13;
    static final byte ABORTED = 14;
    static final byte END = 15;

    static final byte READY = 64;
    static final byte PARTS = 65;
    static final byte OPENED = 66;
    static final byte STATE = 67;
    static final byte COMPLETED = 68;
    static final byte HEARTBEAT = 70;
    static final byte ERROR = 71;
    static final byte METRICS = 72;
    static final byte CHECKED = 73;

    /** A frame as it was read. */
    static final class Frame {
        final byte kind;
        final byte[] payload;

        Frame(byte kind, byte[] payload) {
            this.kind = kind;
            this.payload = payload;
        }
    }

    /** A whole frame to be sent: the first {@code end} bytes. */
    static final class Outgoing {
        final byte[] bytes;
        final int end;
        final boolean reusable;

        Outgoing(byte[] bytes, int end, boolean reusable) {
            this.bytes = bytes;
            this.end = end;
            this.reusable = reusable;
        }
    }

    private Frames() {}

    static byte[] frame(byte kind, byte[] payload) throws IOException {
        byte[] whole = new byte[HEAD_BYTES + payload.length];
        System.arraycopy(payload, 0, whole, HEAD_BYTES, payload.length);
        writeHead(whole, kind, payload.length);
        return whole;
    }

    static void writeHead(byte[] whole, byte kind, int payloadBytes) throws IOException {
        if (payloadBytes > PAYLOAD_BYTES_MAX) {
            throw new IOException(
                    "a frame of " + payloadBytes + " bytes is over the limit of "
                            + PAYLOAD_BYTES_MAX + " (is one row that large?)");
        }
        ByteBuffer.wrap(whole).putInt(payloadBytes + 1).put(kind);
    }

    /** Reads the next frame, or returns null at the end of the stream. */
    static Frame read(DataInputStream in) throws IOException {
        int first = in.read();
        if (first < 0) {
            return null;
        }
        int length =
                first << 24
                        | in.readUnsignedByte() << 16
                        | in.readUnsignedByte() << 8
                        | in.readUnsignedByte();
        if (length < 1 || length > PAYLOAD_BYTES_MAX + 1) {
            throw new IOException(
                    "bad frame: length " + Integer.toUnsignedString(length)
                            + "; something else than the worker wrote to its standard output");
        }
        byte kind = in.readByte();
        byte[] payload = new byte[length - 1];
        in.readFully(payload);
        return new Frame(kind, payload);
    }

    static byte[] number(long value) {
        return ByteBuffer.allocate(Long.BYTES).putLong(value).array();
    }

    static long number(byte[] payload) throws IOException {
        if (payload.length != Long.BYTES) {
            throw new IOException("bad frame: " + payload.length + " bytes where 8 were expected");
        }
        return ByteBuffer.wrap(payload).getLong();
    }

    static byte[] restore(long checkpoint, List<byte[]> states) {
        int size = Long.BYTES + Integer.BYTES;
        for (byte[] state : states) {
            size += Integer.BYTES + state.length;
        }
        ByteBuffer out = ByteBuffer.allocate(size).putLong(checkpoint).putInt(states.size());
        for (byte[] state : states) {
            out.putInt(state.length).put(state);
        }
        return out.array();
    }

    static List<byte[]> list(byte[] payload) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(payload);
        List<byte[]> items = new ArrayList<>();
        int count = in.remaining() < Integer.BYTES ? -1 : in.getInt();
        for (int i = 0; i < count && in.remaining() >= Integer.BYTES; i++) {
            int length = in.getInt();
            if (length < 0 || length > in.remaining()) {
                break;
            }
            byte[] item = new byte[length];
            in.get(item);
            items.add(item);
        }
        if (items.size() != count || in.hasRemaining()) {
            throw new IOException("bad frame: a list of bytes is cut short or too long");
        }
        return items;
    }
}
