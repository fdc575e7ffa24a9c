//! The words of listings in tantivy.

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::query::{BooleanQuery, BoostQuery, FuzzyTermQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
};
use tantivy::{
    DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Score, Searcher, SegmentOrdinal,
    SegmentReader, TantivyDocument, TantivyError, Term,
};

use super::super::Entry;

/// Memory of the writer; the least that tantivy takes.
const WRITER_BYTES: usize = 15_000_000;
const LONGEST_WORD: usize = 64;
/// Words of a query that are looked at; the rest narrows nothing worth the time.
const MOST_WORDS: usize = 16;
const TOKENIZER: &str = "words";
/// How much more a word counts in the title than in the summary.
const HEAD_BOOST: Score = 3.0;
/// How much less a beginning of a word counts than the whole.
const PREFIX_BOOST: Score = 0.3;

/// The fields of a document: `head` has id, name and title, `body` the rest.
#[derive(Clone)]
pub(super) struct Fields {
    slot: Field,
    head: Field,
    body: Field,
}

/// Words by slot.
pub(super) struct Text {
    fields: Fields,
    writer: IndexWriter,
    reader: IndexReader,
}

impl Text {
    pub(super) fn new() -> Result<Self, TantivyError> {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqs);
        let words = TextOptions::default().set_indexing_options(words);
        let fields = Fields {
            slot: schema.add_u64_field("slot", INDEXED | FAST),
            head: schema.add_text_field("head", words.clone()),
            body: schema.add_text_field("body", words),
        };
        let index = Index::create_in_ram(schema.build());
        let analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(LONGEST_WORD))
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .build();
        index.tokenizers().register(TOKENIZER, analyzer);
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            fields,
            writer,
            reader,
        })
    }

    pub(super) fn fields(&self) -> Fields {
        self.fields.clone()
    }

    pub(super) fn add(&mut self, slot: u32, entry: &Entry) -> Result<(), TantivyError> {
        let offer = &entry.offer;
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.slot, u64::from(slot));
        for text in [offer.id.as_str(), &offer.name, &offer.title] {
            document.add_text(self.fields.head, text);
        }
        let facets = offer.facets.values().flatten().map(String::as_str);
        let rest = [&*offer.summary, offer.kind.as_str(), &*entry.owner_name];
        for text in rest.into_iter().chain(facets) {
            document.add_text(self.fields.body, text);
        }
        self.writer.add_document(document)?;
        Ok(())
    }

    pub(super) fn delete(&mut self, slot: u32) {
        self.writer
            .delete_term(Term::from_field_u64(self.fields.slot, u64::from(slot)));
    }

    /// Makes what was added and deleted visible.
    pub(super) fn commit(&mut self) -> Result<Searcher, TantivyError> {
        self.writer.commit()?;
        self.reader.reload()?;
        Ok(self.reader.searcher())
    }
}

impl Fields {
    /// All words of `text` must occur, each in the head or in the body, whole or as a beginning. None when
    /// there are no words.
    pub(super) fn query(
        &self,
        text: &str,
        searcher: &Searcher,
    ) -> Result<Option<BooleanQuery>, TantivyError> {
        let mut analyzer = searcher.index().tokenizer_for_field(self.head)?;
        let mut tokens = analyzer.token_stream(text);
        let mut words: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        while words.len() < MOST_WORDS && tokens.advance() {
            words.push((Occur::Must, Box::new(self.word(&tokens.token().text))));
        }
        Ok((!words.is_empty()).then(|| BooleanQuery::new(words)))
    }

    fn word(&self, word: &str) -> BooleanQuery {
        let fields = [(self.head, HEAD_BOOST), (self.body, 1.0)];
        let ways = fields.into_iter().flat_map(|(field, boost)| {
            let term = Term::from_field_text(field, word);
            let whole = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            let beginning = FuzzyTermQuery::new_prefix(term, 0, false);
            let ways: [Box<dyn Query>; 2] = [
                Box::new(BoostQuery::new(Box::new(whole), boost)),
                Box::new(BoostQuery::new(Box::new(beginning), boost * PREFIX_BOOST)),
            ];
            ways.map(|query| (Occur::Should, query))
        });
        BooleanQuery::new(ways.collect())
    }
}

/// A listing that has the words.
pub(super) struct Hit {
    pub(super) score: Score,
    pub(super) slot: u32,
}

/// Collects every hit: the exact count is wanted, and filters come after.
pub(super) struct AllHits;

pub(super) struct SegmentHits {
    slots: Column,
    hits: Vec<Hit>,
}

impl Collector for AllHits {
    type Fruit = Vec<Hit>;
    type Child = SegmentHits;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> Result<SegmentHits, TantivyError> {
        Ok(SegmentHits {
            slots: segment.fast_fields().u64("slot")?,
            hits: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, segments: Vec<Vec<Hit>>) -> Result<Vec<Hit>, TantivyError> {
        Ok(segments.into_iter().flatten().collect())
    }
}

impl SegmentCollector for SegmentHits {
    type Fruit = Vec<Hit>;

    fn collect(&mut self, document: DocId, score: Score) {
        let slot = self
            .slots
            .first(document)
            .and_then(|slot| u32::try_from(slot).ok());
        self.hits.extend(slot.map(|slot| Hit { score, slot }));
    }

    fn harvest(self) -> Vec<Hit> {
        self.hits
    }
}
