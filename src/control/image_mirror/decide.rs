//! What to do with an ImageMirror: from facts to a decision, without looking at anything else.
