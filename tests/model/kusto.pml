/* Part of commit_protocol.pml: Kusto, one process an attempt, which waits for its request; time. */
inline finish(text) {
    reading = reading & ~BIT(a); holding = holding & ~BIT(a); over = over | BIT(a);
    printf("Kusto: operation %d %e\n", a, text)
}
inline appear() {                      /* rows of t become visible */
    never_(duplicated, seen & rows_in[t]); never_(early, slices[t] & ~completed);
    seen = seen | rows_in[t]; tagged = tagged | BIT(a)
}
mtype = { skipped, unreadable, completes, fails_with_rows, fails_without, in_part };

proctype Operation(byte a) {
    byte t;
end:
    sent & BIT(a);
    atomic {                           /* from now on its record can be found */
        sent = sent & ~BIT(a); reading = reading | BIT(a);
        do :: ATT & BIT(a) -> break :: else -> t++ od }
    atomic {
        if
        :: !ATOMIC && (tagged & ATT) -> fine = fine | BIT(a); finish(skipped); goto ended
        :: (slices[t] & ~blobs) || (expired & BIT(a)) -> finish(unreadable); goto ended
        :: else -> reading = reading & ~BIT(a); holding = holding | BIT(a)
        fi }
    atomic {
        if
        :: ATOMIC && (tagged & ATT) -> fine = fine | BIT(a); finish(skipped)
        :: !ATOMIC || !(tagged & ATT) ->
            if
            :: whole = whole | BIT(a); appear(); fine = fine | BIT(a); finish(completes)
            :: fails > 0 -> fails--; whole = whole | BIT(a); appear(); finish(fails_with_rows)
            :: fails > 0 -> fails--; finish(fails_without)
            :: partials > 0 -> partials--; part = part | BIT(a); appear(); finish(in_part)
            :: partials > 0 -> partials--; part = part | BIT(a); appear();
                fine = fine | BIT(a); finish(completes)
            fi
        fi }
ended:
    t = 0
}

/* ---- time: access, and the tags of old transactions */
#define TICKS    (attempts > a && !((expired | (over & named)) & BIT(a)))  /* it still matters */
#define IN_USE   (((sent | reading) & BIT(a)) || ((unsent & BIT(a)) && state[maker[a]] == GOING))
#define BELIEVED (cur[job_of[maker[a]]] == maker[a] && !(job_of[maker[a]] == 0 && cancelled) && \
                  state[maker[a]] == GOING)
inline expire() { expired = expired | BIT(a); printf("access of attempt %d expires\n", a) }

/* In ordinary times access outlives its use; not always that of a run which Flink gave up. */
proctype Access(byte a) {
end:
    do
    :: atomic { TICKS && !IN_USE -> expire() }
    :: atomic { TICKS && IN_USE && !BELIEVED && stalls > 0 -> stalls--; expire() }
    :: atomic { TICKS && IN_USE && fails > 0 -> fails--; expire() }
    od
}

#if EXPIRIES
proctype Age(byte t) {
end:
    atomic { (intended & BIT(t)) && expiries > 0 -> expiries--; old = old | BIT(t) }
end_tags:
    do :: atomic { tagged & ATT -> tagged = tagged & ~ATT; printf("tags of %d expire\n", t) } od
}
#endif
